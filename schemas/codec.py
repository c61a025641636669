"""Events to bytes and back: Avro in the Confluent wire format (magic byte 0, 4-byte schema id, body).

The body of `personal_data` is an Avro record of its own; see docs/adr/0006-the-record.md.
"""

import struct
from collections.abc import Callable, Mapping
from functools import cache, partial
from io import BytesIO
from typing import Any, NamedTuple

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.schema import to_parsing_canonical_form

from schemas import avro, events
from schemas.compiled import Read, Write, compile_reader, compile_writer
from schemas.errors import Explained
from schemas.events import LogEvent, UnknownEvent
from schemas.upcasters import Lifted, steps_from

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
_NAMESPACE = avro.latest(EVENT_NAMES[0])["namespace"]
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
        # By the bytes that a value begins with.
        self._known = {header_of(i): _readers(name, len(avro.versions()[name])) for name, i in ids.items()}

    def encode(self, event: LogEvent) -> bytes:
        """The event in the wire format. Raises ValueError or OverflowError when a field does not fit its schema."""
        header, write = self._write[type(event)]
        return write(header, event)

    def decode(self, value: bytes | None, *, personal: bool = True) -> LogEvent:
        """The event of a record's value as of its latest version, `personal_data` left None unless `personal`.

        One of a type that only a newer release knows is an UnknownEvent. Raises DecodeError.
        """
        value = value or b""
        readers = self._known.get(value[:HEADER_BYTES]) or self._look_up(value)
        try:
            event: LogEvent
            event, end = (readers.whole if personal else readers.impersonal)(value, HEADER_BYTES)
        except Exception as error:  # a reader raises whatever it stumbles over
            raise DecodeError(f"the value is not a readable {readers.name}: {error!r}") from error
        if end > len(value):
            raise DecodeError(f"the value is not a readable {readers.name}: {end - len(value)} bytes are missing")
        if end < len(value):
            raise DecodeError(f"{len(value) - end} bytes follow the {readers.name}")
        return event

    def unknown_type(self, value: bytes | None) -> str | None:
        """The type of a record's value, None unless it is an event of a type that only a newer release knows.

        Raises what `lookup` raises but KeyError. Nothing is decoded.
        """
        try:
            readers = self._known.get((value or b"")[:HEADER_BYTES]) or self._look_up(value or b"")
        except DecodeError:
            return None
        return None if readers.name in _EVENTS else readers.name

    def _look_up(self, value: bytes) -> "_Readers":
        schema_id, schema = written_under(value, self._lookup)
        return self._known.setdefault(value[:HEADER_BYTES], _readers_of(schema_id, schema))


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


class _Readers(NamedTuple):
    """How values of one schema are read: as a whole, and without personal data."""

    name: str
    whole: Read
    impersonal: Read


def _readers_of(schema_id: int, schema: avro.Schema) -> _Readers:
    """The readers for a writer's schema that is not the latest of ours. Raises DecodeError."""
    namespace, _, name = str(schema.get("name", "")).rpartition(".")
    if name not in _EVENTS:
        if (namespace or schema.get("namespace")) != _NAMESPACE or not _is_of_an_order(schema):
            raise DecodeError(f"schema {schema_id} is of {name or 'no record'}, which is no event of ours")
        read = _unknown_reader(name, parse_schema(schema))
        return _Readers(name, read, read)
    written, committed = to_parsing_canonical_form(schema), avro.versions()[name]
    for version in range(len(committed), 0, -1):
        if to_parsing_canonical_form(committed[version - 1]) == written:
            return _readers(name, version)
    older, latest = parse_schema(schema), parse_schema(avro.latest(name))
    whole, impersonal = _readers(name, len(committed))[1:]
    return _Readers(name, _resolved(older, latest, whole), _resolved(older, latest, impersonal))


@cache
def _readers(name: str, version: int) -> _Readers:
    """The readers for a committed version of an event."""
    versions = avro.versions()[name]
    whole, impersonal = _whole_reader(name, version), _impersonal_reader(name, version)
    if not (steps := steps_from(name, version, len(versions))):
        return _Readers(name, whole, impersonal)
    return _Readers(name, Lifted(whole, steps), Lifted(impersonal, steps))


@cache
def _writer(name: str) -> Write:
    if not (personal := _PERSONAL.get(name)):
        return compile_writer(avro.latest(name), _EVENTS[name])
    blob = partial(compile_writer(avro.latest(personal.__name__), personal), b"")
    return compile_writer(avro.latest(name), _EVENTS[name], blob)


def _whole_reader(name: str, version: int) -> Read:
    if not (personal := _PERSONAL.get(name)):
        return _compiled(name, version, None)
    read_personal = compile_reader(avro.latest(personal.__name__), personal, _INNER)

    def blob(encoded: bytes) -> Any:
        data, end = read_personal(encoded, 0)
        if end > len(encoded):
            raise ValueError("the personal data is cut off")
        return data

    return _compiled(name, version, blob)


def _impersonal_reader(name: str, version: int) -> Read:
    return _compiled(name, version, lambda _encoded: None)


def _compiled(name: str, version: int, blob: Callable[[bytes], Any] | None) -> Read:
    given = {field["name"]: field["default"] for field in avro.latest(name)["fields"] if "default" in field}
    defaults = {field: tuple(default) if isinstance(default, list) else default for field, default in given.items()}
    return compile_reader(avro.versions()[name][version - 1], _EVENTS[name], _INNER, blob, defaults)


def _resolved(written: Any, latest: Any, read: Read) -> Read:
    """A reader for a version that is not committed here: Avro's schema resolution, which is fastavro's."""

    def brought_up(value: bytes, at: int) -> tuple[Any, int]:
        body, again = BytesIO(value), BytesIO()
        body.seek(at)
        schemaless_writer(again, latest, schemaless_reader(body, written, latest))
        return read(again.getvalue(), 0)[0], body.tell()

    return brought_up


def _is_of_an_order(schema: avro.Schema) -> bool:
    fields = {field["name"]: field["type"] for field in schema.get("fields", ())}
    return fields.get("order_id") == {"type": "string", "logicalType": "uuid"}


def _unknown_reader(name: str, written: Any) -> Read:
    def read(value: bytes, at: int) -> tuple[UnknownEvent, int]:
        body = BytesIO(value)
        body.seek(at)
        fields: Any = schemaless_reader(body, written, None)
        return UnknownEvent(fields["order_id"], name), body.tell()

    return read
