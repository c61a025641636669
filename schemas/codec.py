"""Events to bytes and back: Avro in the Confluent wire format (magic byte 0, 4-byte schema id, body).

The body of `personal_data` is an Avro record of its own; see docs/adr/0006-the-record.md.
"""

import struct
from collections.abc import Callable, Mapping
from functools import cache, partial
from io import BytesIO
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from schemas import avro, events
from schemas.compiled import Read, Write, compile_reader, compile_writer
from schemas.errors import Explained
from schemas.events import LogEvent

_HEADER = struct.Struct(">bI")
_MAGIC = 0
HEADER_BYTES = _HEADER.size

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
# Records inside records, by their names in the schemas.
_INNER: dict[str, type[Any]] = {kind.__name__: kind for kind in (events.Line, events.ReturnedLine, events.Address)}


class DecodeError(Explained, ValueError):
    """The bytes are not an event of ours; the message says what is wrong with them."""


class Codec:
    """Writes events under the schema ids a registry gave, and reads any version it knows.

    `ids` maps an event's name to the id of its latest schema. `lookup` answers the writer's schema
    of an id that is not among them, or raises KeyError; each id is looked up once.
    """

    def __init__(self, ids: Mapping[str, int], lookup: Callable[[int], avro.Schema]) -> None:
        self._lookup = lookup
        self._write = {_EVENTS[name]: (header_of(i), _writer(name)) for name, i in ids.items()}
        self._read = {name: _reader(name) for name in ids}
        self._read_impersonal = {name: _impersonal_reader(name) for name in ids}
        # By the bytes that a value begins with: the event, and its schema if that is not the latest.
        self._known: dict[bytes, tuple[str, Any]] = {header_of(i): (name, None) for name, i in ids.items()}

    def encode(self, event: LogEvent) -> bytes:
        """The event in the wire format. Raises ValueError or OverflowError when a field does not fit its schema."""
        header, write = self._write[type(event)]
        return write(header, event)

    def decode(self, value: bytes | None, *, personal: bool = True) -> LogEvent:
        """The event of a record's value, `personal_data` left None unless `personal`. Raises DecodeError."""
        value = value or b""
        name, older = self._known.get(value[:HEADER_BYTES]) or self._look_up(value)
        try:
            if older:
                value = _brought_up(value, older, parse_schema(avro.latest(name)))
            event: LogEvent
            event, end = (self._read if personal else self._read_impersonal)[name](value, HEADER_BYTES)
        except Exception as error:  # a reader raises whatever it stumbles over
            raise DecodeError(f"the value is not a readable {name}: {error!r}") from error
        if end > len(value):
            raise DecodeError(f"the value is not a readable {name}: {end - len(value)} bytes are missing")
        if end < len(value):
            raise DecodeError(f"{len(value) - end} bytes follow the {name}")
        return event

    def _look_up(self, value: bytes) -> tuple[str, Any]:
        schema_id, schema = written_under(value, self._lookup)
        name = str(schema.get("name", "")).rpartition(".")[2]
        if name not in self._read:
            raise DecodeError(f"schema {schema_id} is of {name or 'no record'}, which is no event of ours")
        return self._known.setdefault(value[:HEADER_BYTES], (name, parse_schema(schema)))


def header_of(schema_id: int) -> bytes:
    """What a value begins with that is written under this schema: `HEADER_BYTES` of them."""
    return _HEADER.pack(_MAGIC, schema_id)


def written_under(value: bytes, lookup: Callable[[int], avro.Schema]) -> tuple[int, avro.Schema]:
    """The id of the schema that `value` says it was written under, and what `lookup` has for it. Raises DecodeError."""
    if len(value) < HEADER_BYTES or value[0] != _MAGIC:
        raise DecodeError("the value does not start with the magic byte 0 and a schema id")
    _, schema_id = _HEADER.unpack_from(value)
    try:
        return schema_id, lookup(schema_id)
    except KeyError as error:
        raise DecodeError(f"the registry has no schema {schema_id}") from error


@cache
def _writer(name: str) -> Write:
    if not (personal := _PERSONAL.get(name)):
        return compile_writer(avro.latest(name), _EVENTS[name])
    blob = partial(compile_writer(avro.latest(personal.__name__), personal), b"")
    return compile_writer(avro.latest(name), _EVENTS[name], blob)


@cache
def _reader(name: str) -> Read:
    if not (personal := _PERSONAL.get(name)):
        return compile_reader(avro.latest(name), _EVENTS[name], _INNER)
    read_personal = compile_reader(avro.latest(personal.__name__), personal, _INNER)

    def blob(encoded: bytes) -> Any:
        data, end = read_personal(encoded, 0)
        if end > len(encoded):
            raise ValueError("the personal data is cut off")
        return data

    return compile_reader(avro.latest(name), _EVENTS[name], _INNER, blob)


@cache
def _impersonal_reader(name: str) -> Read:
    if name not in _PERSONAL:
        return _reader(name)
    return compile_reader(avro.latest(name), _EVENTS[name], _INNER, lambda _encoded: None)


def _brought_up(value: bytes, older: Any, latest: Any) -> bytes:
    """A value of an older version of a schema as one of the latest: Avro's schema resolution, which is fastavro's."""
    body, brought_up = BytesIO(value), BytesIO()
    brought_up.write(body.read(HEADER_BYTES))
    schemaless_writer(brought_up, latest, schemaless_reader(body, older, latest))
    brought_up.write(body.read())  # there should be nothing; if there is, it shall be noticed
    return brought_up.getvalue()
