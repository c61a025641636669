"""What a newer release, or one of before, writes into the log: under the schema ids of the world's own registry."""

from io import BytesIO
from typing import Any
from uuid import UUID

from fastavro import parse_schema, schemaless_writer

from eventlog.settings import Settings
from schemas import avro
from schemas.avro import Schema
from schemas.registry import Registry

WRAPPED: Schema = {
    "type": "record",
    "name": "OrderWrapped",
    "namespace": "orderlog.orders",
    "doc": "An event that this release does not have.",
    "fields": [
        {"name": "order_id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "paper", "type": "string"},
    ],
}


def written(settings: Settings, schema: Schema, order_id: UUID, **fields: Any) -> bytes:
    """A value in the wire format, under the id of `schema` in the registry, which gets it if it has it not."""
    subject = f"{settings.topic('order.events')}-{schema['namespace']}.{schema['name']}"
    with Registry(settings.registry_url) as registry:
        schema_id = registry.register(subject, schema)
    body = BytesIO()
    schemaless_writer(body, parse_schema(schema), {"order_id": order_id, **fields})
    return b"\x00" + schema_id.to_bytes(4) + body.getvalue()


def wrapped(settings: Settings, order_id: UUID) -> bytes:
    """An event of a type that this release does not know."""
    return written(settings, WRAPPED, order_id, paper="gold")


def of_version_1(settings: Settings, name: str, order_id: UUID, **fields: Any) -> bytes:
    """An event as the first release wrote it."""
    return written(settings, avro.versions()[name][0], order_id, **fields)
