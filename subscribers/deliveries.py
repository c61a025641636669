"""Records as a subscriber gets them: where they are, whose they are, and the message in them if they can be read."""

from dataclasses import dataclass
from uuid import UUID

from eventlog.messages import Message, read_message
from eventlog.recorded import Header
from schemas.public_codec import PublicCodec
from service.database import storable

_LONGEST_ID = 500  # characters; an index of Postgres's holds no value of any length
_KEPT_HEADERS = ("correlation_id", "causation_id")  # a malformed traceparent is read as none

Place = tuple[str, int, int]
"""Where a record is: topic, partition, offset."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One record of a public topic; `topic` is its name in the catalogue, `timestamp_ms` the broker's."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]

    @property
    def place(self) -> Place:
        """Topic, partition, offset."""
        return self.topic, self.partition, self.offset

    @property
    def event_id(self) -> str:
        """The event's id; the place of a record that tells none, or one that cannot be kept."""
        told = dict(self.headers).get("ce_id", b"")
        text = told.decode(errors="replace")
        can_be_kept = 0 < len(text) <= _LONGEST_ID and storable(text).encode() == told
        return text if can_be_kept else ":".join(str(part) for part in self.place)

    @property
    def order_id(self) -> UUID | None:
        """The order that the key names; None when it names none."""
        try:
            return UUID((self.key or b"").decode())
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Opened:
    """A delivery with its message, or with why it has none."""

    delivery: Delivery
    message: Message | None
    error: Exception | None = None


def open_delivery(codec: PublicCodec, delivery: Delivery) -> Opened:
    """Read a delivery. Raises only what says that a schema has to be fetched first (service/schema_lookup.py)."""
    try:
        message = read_message(delivery.headers, codec.decode(delivery.value))
        if message.topic != delivery.topic:
            raise ValueError(f"ce_type is {message.topic}, and the record is in {delivery.topic}")
        _require_keepable(delivery, message)
    except ValueError as error:  # DecodeError is one
        return Opened(delivery, None, error)
    return Opened(delivery, message)


def _require_keepable(delivery: Delivery, message: Message) -> None:
    """Raises ValueError for headers that Postgres cannot hold: the inbox and the answers in it have them."""
    if message.event_id != delivery.event_id:
        raise ValueError(f"ce_id is empty, longer than {_LONGEST_ID} characters, or has a NUL")
    for name in _KEPT_HEADERS:
        value = getattr(message, name)
        if value != storable(value):
            raise ValueError(f"the header {name} has a NUL: {storable(value)}")
