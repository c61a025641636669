"""Public events to bytes and back: Avro in the Confluent wire format, so that any client with a registry reads them.

fastavro does it, with its schema resolution: these topics carry a fraction of what the log does, and are read by
programs that may be older or newer than the writer.
"""

import struct
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, get_args

import msgspec
from fastavro import parse_schema, schemaless_reader, schemaless_writer

from schemas import avro
from schemas.codec import DecodeError
from schemas.events import Contact
from schemas.public_events import PublicEvent

_HEADER = struct.Struct(">bI")
_MAGIC = 0
_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(PublicEvent)}
_PARSED = {name: parse_schema(avro.latest(f"public.{name}")) for name in _KINDS}
_CONTACT = parse_schema(avro.latest("Contact"))


class PublicCodec:
    """Writes public events under the schema ids a registry gave, and reads any version.

    `ids` maps an event's class name to its schema's id; events that are only read need none. `lookup` answers the
    writer's schema of an id, or raises KeyError; each id is looked up once.
    """

    def __init__(self, ids: Mapping[str, int], lookup: Callable[[int], avro.Schema]) -> None:
        self._ids = ids
        self._lookup = lookup
        self._known: dict[int, tuple[str, Any]] = {schema_id: (name, _PARSED[name]) for name, schema_id in ids.items()}

    def encode(self, event: PublicEvent) -> bytes:
        """The event in the wire format. Raises ValueError when a field does not fit its schema."""
        name = type(event).__name__
        fields = {field: getattr(event, field) for field in event.__struct_fields__}
        if "personal_data" in fields:
            fields["personal_data"] = _written(_CONTACT, fields["personal_data"])
        body = BytesIO()
        schemaless_writer(body, _PARSED[name], _plain(fields))
        return _HEADER.pack(_MAGIC, self._ids[name]) + body.getvalue()

    def decode(self, value: bytes | None) -> PublicEvent:
        """The event of a record's value. Raises DecodeError."""
        value = value or b""
        if len(value) < _HEADER.size or value[0] != _MAGIC:
            raise DecodeError("the value does not start with the magic byte 0 and a schema id")
        name, written = self._look_up(_HEADER.unpack_from(value)[1])
        body = BytesIO(value[_HEADER.size :])
        try:
            fields: Any = schemaless_reader(body, written, _PARSED[name])
            if "personal_data" in fields:
                fields["personal_data"] = _read(_CONTACT, fields["personal_data"])
            event: PublicEvent = msgspec.convert(fields, _KINDS[name])
        except Exception as error:  # a reader raises whatever it stumbles over
            raise DecodeError(f"the value is not a readable {name}: {error!r}") from error
        if rest := len(body.read()):
            raise DecodeError(f"{rest} bytes follow the {name}")
        return event

    def _look_up(self, schema_id: int) -> tuple[str, Any]:
        if known := self._known.get(schema_id):
            return known
        try:
            schema = self._lookup(schema_id)
        except KeyError as error:
            raise DecodeError(f"the registry has no schema {schema_id}") from error
        name = str(schema.get("name", "")).rpartition(".")[2]
        if name not in _KINDS or schema.get("namespace") != "orderlog.public":
            raise DecodeError(f"schema {schema_id} is of {name or 'no record'}, which is no public event of ours")
        return self._known.setdefault(schema_id, (name, parse_schema(schema)))


def _plain(fields: Any) -> Any:
    """Of dicts, lists and plain values, which is what fastavro takes; UUIDs and bytes stay."""
    return msgspec.to_builtins(fields, builtin_types=(bytes,))


def _written(schema: Any, record: Any) -> bytes:
    if record is None:
        return b""
    body = BytesIO()
    schemaless_writer(body, schema, _plain(record))
    return body.getvalue()


def _read(schema: Any, encoded: bytes) -> Contact | None:
    return msgspec.convert(schemaless_reader(BytesIO(encoded), schema, None), Contact) if encoded else None
