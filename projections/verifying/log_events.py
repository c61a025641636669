"""The log's events from their raw bytes, by plain fastavro; who counts among them, by a rule of its own.

Nothing is shared with schemas/compiled.py, eventlog/recorded.py or projections/batches.py, so that a mistake there
is not made here again. What is shared is the committed schemas and the bytes.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Set
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from fastavro import parse_schema, schemaless_reader

from eventlog.reader import read_partition
from schemas import avro
from schemas.avro import Schema
from schemas.errors import Explained

BARRIER = "WriterElected"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_CONTENT = {"order_id", "key_id"}
_NAMESPACE = "orderlog.orders"
# What an event of an older version says of a field that it lacks, as a view has it; likewise a row of a timeline that
# was written by a release of then.
_LACKED: Mapping[str, Mapping[str, Callable[[Mapping[str, Any]], Any]]] = {
    "PaymentRecorded": {"method": lambda _: None},
    "OrderShipped": {"parcels": lambda content: [content["tracking"]]},
}
_PERSONAL = {
    "OrderPlaced": "Contact",
    "ShippingAddressChanged": "Destination",
    "OrderRejected": "Reason",
    "OrderCancelled": "Reason",
    "LinesReturned": "Reason",
}


class Unreadable(Explained):
    """A record that counts, and that no view set aside, is no event of ours; the message names its place."""


class Raw(Protocol):
    """What is read of a consumer's record."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    headers: Iterable[tuple[str, bytes]]


class Told(NamedTuple):
    """An order's event: its place, when it happened and was recorded, and `content`, its fields but the order's id."""

    offset: int
    name: str
    order_id: UUID
    version: int
    time: datetime
    recorded_at: datetime
    command_id: str
    correlation_id: str
    content: Mapping[str, Any]


class Decoder:
    """Bytes to (event's name, order's id, content). `lookup` gives a schema by its id, or raises KeyError."""

    def __init__(self, lookup: Callable[[int], Schema]) -> None:
        self._lookup = lookup
        self._known: dict[int, tuple[str, Any, list[str] | None]] = {}
        self._personal = {name: parse_schema(avro.latest(name)) for name in set(_PERSONAL.values())}

    def decode(self, value: bytes | None) -> tuple[str, UUID | None, dict[str, Any]]:
        """Raises ValueError, or whatever fastavro stumbles over, for what is no event."""
        if not value or value[0] != 0 or len(value) < 5:
            raise ValueError("it does not begin with the magic byte 0 and a schema's id")
        name, written, read = self._schemas(int.from_bytes(value[1:5], "big"))
        body = BytesIO(value)
        body.seek(5)
        fields: Any = schemaless_reader(body, written, None)
        if body.read(1):
            raise ValueError(f"something follows the {name}")
        if read is None:
            return name, fields["order_id"], {}  # of a newer release: it counts, and what is in it is not known
        content = lifted(name, {key: fields[key] for key in read if key in fields and key not in _NO_CONTENT})
        if personal := _PERSONAL.get(name):
            blob, schema = content["personal_data"], self._personal[personal]
            content["personal_data"] = schemaless_reader(BytesIO(blob), schema, None) if blob else None
        return name, fields.get("order_id"), content

    def _schemas(self, schema_id: int) -> tuple[str, Any, list[str] | None]:
        """The event's name, the schema of this id, and the fields that are known of it, None if it is not known."""
        if schema_id not in self._known:
            try:
                written = self._lookup(schema_id)
            except KeyError as error:
                raise ValueError(f"the registry has no schema {schema_id}") from error
            name, known = str(written.get("name", "")).rpartition(".")[2], avro.versions()
            fields = [field["name"] for field in known[name][-1]["fields"]] if name in known else None
            if fields is None and not _is_newer(written):
                raise ValueError(f"schema {schema_id} is of {name or 'no record'}, which is no event of ours")
            self._known[schema_id] = (name, parse_schema(written), fields)
        return self._known[schema_id]


def lifted(name: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an event, written by whatever release, as of its latest version."""
    return {**{field: says(content) for field, says in _LACKED.get(name, {}).items()}, **content}


def _is_newer(schema: Schema) -> bool:
    """Whether a schema that is none of ours is of an order's event all the same."""
    whose = [field["type"] for field in schema.get("fields", ()) if field["name"] == "order_id"]
    return schema.get("namespace") == _NAMESPACE and whose == [{"type": "string", "logicalType": "uuid"}]


class Reading:
    """One partition's events in order, without what deposed writers wrote and without what stands at `aside`."""

    def __init__(self, decoder: Decoder, partition: int, aside: Set[int] = frozenset()) -> None:
        self._decoder = decoder
        self._partition = partition
        self._aside = aside
        self._term = 0
        self._next = 0

    def take(self, records: Iterable[Raw]) -> list[Told]:
        """The events among the next `records`. Raises Unreadable, also when a record is missing before them."""
        told: list[Told] = []
        for record in records:
            if record.offset != self._next:
                raise Unreadable(f"the log has no record at {self._partition}:{self._next}")
            self._next += 1
            try:
                found = self._one(record, {name: value.decode() for name, value in record.headers})
            except Exception as error:
                if record.offset not in self._aside:
                    where = f"{self._partition}:{record.offset}"
                    raise Unreadable(f"the record at {where} is no event of ours: {error}") from error
            else:
                if found:
                    told.append(found)
        return told

    def _one(self, record: Raw, about: Mapping[str, str]) -> Told | None:
        term = int(about["term"])
        if term < self._term:
            return None  # written by a writer after its successor's barrier
        if record.offset in self._aside:
            if record.key is None and about["version"] == "0":
                self._term = term  # a barrier that cannot be read still deposes those before it
            return None
        name, order_id, content = self._decoder.decode(record.value)
        if order_id is None:
            self._term = term
            return None
        return Told(
            record.offset,
            name,
            order_id,
            int(about["version"]),
            datetime.fromisoformat(about["ce_time"]),
            _EPOCH + timedelta(milliseconds=record.timestamp),
            about["command_id"],
            about.get("correlation_id", ""),
            content,
        )


async def read_log(
    bootstrap: str, topic: str, reading: Reading, partition: int, end: int
) -> AsyncIterator[tuple[int, list[Told]]]:
    """(records read, the events that count among them), batch by batch, up to offset `end`. Raises as `take` does."""
    async for records in read_partition(bootstrap, topic, partition, 0, end):
        yield len(records), reading.take(records)
