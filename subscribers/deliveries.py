"""Records as a subscriber gets them: where they are, whose they are, and the message in them if they can be read."""

from dataclasses import dataclass
from uuid import UUID

from eventlog.messages import Message, read_message
from eventlog.recorded import Header
from schemas.public_codec import PublicCodec


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
    def place(self) -> tuple[str, int, int]:
        """Topic, partition, offset."""
        return self.topic, self.partition, self.offset

    @property
    def event_id(self) -> str:
        """The event's id; for a record that does not tell, its place."""
        told = next((value for name, value in self.headers if name == "ce_id"), b"")
        return told.decode(errors="backslashreplace") if told else f"{self.topic}:{self.partition}:{self.offset}"

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
    except ValueError as error:  # DecodeError is one
        return Opened(delivery, None, error)
    return Opened(delivery, message)
