"""Public events to bytes and back: Avro in the Confluent wire format, so that any client with a registry reads them.

fastavro does it, with its schema resolution: these topics carry a fraction of what the log does, and are read by
programs that may be older or newer than the writer.
"""

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, get_args

import msgspec
from fastavro import parse_schema, schemaless_reader, schemaless_writer

from schemas import avro
from schemas.codec import HEADER_BYTES, DecodeError, header_of, written_under
from schemas.public_events import PublicEvent

_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(PublicEvent)}
_PARSED = {name: parse_schema(avro.latest(f"public.{name}")) for name in _KINDS}
_CONTACT = parse_schema(avro.latest("Contact"))


class PublicCodec:
    """Writes public events under the schema ids a registry gave, and reads any version.

    `ids` maps an event's class name to its schema's id; events that are only read need none. `lookup` answers the
    writer's schema of an id, or raises KeyError; each id is looked up once.
    """

    def __init__(self, ids: Mapping[str, int], lookup: Callable[[int], avro.Schema]) -> None:
        self._lookup = lookup
        self._headers = {name: header_of(schema_id) for name, schema_id in ids.items()}
        # By the bytes that a value begins with: the event, and the schema it was written under.
        self._known: dict[bytes, tuple[str, Any]] = {
            header: (name, _PARSED[name]) for name, header in self._headers.items()
        }

    def encode(self, event: PublicEvent) -> bytes:
        """The event in the wire format. Raises ValueError when a field does not fit its schema."""
        name = type(event).__name__
        fields = msgspec.to_builtins(event)
        if "personal_data" in fields:
            contact = fields["personal_data"]
            fields["personal_data"] = _written(_CONTACT, contact) if contact else b""
        return self._headers[name] + _written(_PARSED[name], fields)

    def decode(self, value: bytes | None) -> PublicEvent:
        """The event of a record's value. Raises DecodeError."""
        value = value or b""
        name, schema = self._known.get(value[:HEADER_BYTES]) or self._look_up(value)
        body = BytesIO(value[HEADER_BYTES:])
        try:
            fields: Any = schemaless_reader(body, schema, _PARSED[name])
            if "personal_data" in fields:
                encoded = fields["personal_data"]
                fields["personal_data"] = schemaless_reader(BytesIO(encoded), _CONTACT, None) if encoded else None
            event: PublicEvent = msgspec.convert(fields, _KINDS[name])
        except Exception as error:  # a reader raises whatever it stumbles over
            raise DecodeError(f"the value is not a readable {name}: {error!r}") from error
        if rest := len(body.read()):
            raise DecodeError(f"{rest} bytes follow the {name}")
        return event

    def _look_up(self, value: bytes) -> tuple[str, Any]:
        schema_id, schema = written_under(value, self._lookup)
        name = str(schema.get("name", "")).rpartition(".")[2]
        if name not in _KINDS or schema.get("namespace") != "orderlog.public":
            raise DecodeError(f"schema {schema_id} is of {name or 'no record'}, which is no public event of ours")
        return self._known.setdefault(value[:HEADER_BYTES], (name, parse_schema(schema)))


def _written(schema: Any, record: Any) -> bytes:
    body = BytesIO()
    schemaless_writer(body, schema, record)
    return body.getvalue()
