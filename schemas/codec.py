"""Events to bytes and back: Avro in the Confluent wire format (magic byte 0, 4-byte schema id, body).

The body of `personal_data` is an Avro record of its own; see docs/adr/0006-the-record.md.
"""

import struct
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

from fastavro import parse_schema, schemaless_reader

from schemas import avro, events
from schemas.compiled import Write, compile_writer
from schemas.errors import Explained
from schemas.events import LogEvent

_HEADER = struct.Struct(">bI")
_MAGIC = 0

_EVENTS: dict[str, type[Any]] = {
    event.__name__: event
    for event in (
        events.OrderPlaced,
        events.LineAdded,
        events.LineQuantityChanged,
        events.LineRemoved,
        events.ShippingAddressChanged,
        events.OrderConfirmed,
        events.OrderRejected,
        events.PaymentRecorded,
        events.OrderShipped,
        events.OrderDelivered,
        events.OrderCancelled,
        events.LinesReturned,
        events.PaymentRefunded,
        events.WriterElected,
    )
}
EVENT_NAMES = tuple(_EVENTS)
_PERSONAL: dict[str, type[Any]] = {
    "OrderPlaced": events.Contact,
    "ShippingAddressChanged": events.Destination,
    "OrderRejected": events.Reason,
    "OrderCancelled": events.Reason,
    "LinesReturned": events.Reason,
}
_LINES: dict[str, type[Any]] = {"OrderPlaced": events.Line, "LinesReturned": events.ReturnedLine}


class DecodeError(Explained, ValueError):
    """The bytes are not an event of ours; the message says what is wrong with them."""


class Codec:
    """Writes events under the schema ids a registry gave, and reads any version it knows.

    `ids` maps an event's name to the id of its latest schema. `lookup` answers the writer's schema
    of an id that is not among them, or raises KeyError; each id is looked up once.
    """

    def __init__(self, ids: Mapping[str, int], lookup: Callable[[int], avro.Schema]) -> None:
        self._lookup = lookup
        self._write = {_EVENTS[name]: _writer(name, _HEADER.pack(_MAGIC, i)) for name, i in ids.items()}
        self._latest = {name: parse_schema(avro.latest(name)) for name in ids}
        self._writers: dict[int, tuple[str, Any]] = {i: (name, self._latest[name]) for name, i in ids.items()}
        self._personal = {name: parse_schema(avro.latest(record.__name__)) for name, record in _PERSONAL.items()}

    def encode(self, event: LogEvent) -> bytes:
        """The event in the wire format. Raises ValueError or OverflowError when a field does not fit its schema."""
        return self._write[type(event)](event)

    def decode(self, value: bytes | None) -> LogEvent:
        """The event of a record's value. Raises DecodeError."""
        if not value or len(value) < _HEADER.size or value[0] != _MAGIC:
            raise DecodeError("the value does not start with the magic byte 0 and a schema id")
        _, schema_id = _HEADER.unpack_from(value)
        name, writer = self._writers.get(schema_id) or self._look_up(schema_id)
        body = BytesIO(value)
        body.seek(_HEADER.size)
        try:
            data: Any = schemaless_reader(body, writer, self._latest[name])
            if body.tell() != len(value):
                raise DecodeError(f"{len(value) - body.tell()} bytes follow the {name}")
            return self._event(name, data)
        except DecodeError:
            raise
        except Exception as error:  # fastavro raises whatever its reader stumbles over
            raise DecodeError(f"the value is not a readable {name}: {error!r}") from error

    def _look_up(self, schema_id: int) -> tuple[str, Any]:
        try:
            schema = self._lookup(schema_id)
        except KeyError as error:
            raise DecodeError(f"the registry has no schema {schema_id}") from error
        name = str(schema.get("name", "")).rpartition(".")[2]
        if name not in self._latest:
            raise DecodeError(f"schema {schema_id} is of {name or 'no record'}, which is no event of ours")
        self._writers[schema_id] = (name, parse_schema(schema))
        return self._writers[schema_id]

    def _event(self, name: str, data: dict[str, Any]) -> LogEvent:
        if name in _LINES:
            data["lines"] = tuple(_LINES[name](**line) for line in data["lines"])
        if name in _PERSONAL:
            del data["key_id"]
            data["personal_data"] = self._decode_personal(name, data["personal_data"])
        event: LogEvent = _EVENTS[name](**data)
        return event

    def _decode_personal(self, name: str, encoded: bytes) -> Any:
        if not encoded:
            return None
        schema = self._personal[name]
        data: Any = schemaless_reader(BytesIO(encoded), schema, schema)
        if "shipping_address" in data:
            data["shipping_address"] = events.Address(**data["shipping_address"])
        return _PERSONAL[name](**data)


def _writer(name: str, header: bytes) -> Write:
    personal = _PERSONAL.get(name)
    blob = compile_writer(avro.latest(personal.__name__), personal) if personal else None
    return compile_writer(avro.latest(name), _EVENTS[name], header, blob)
