"""Poison for a running sales worker: an event whose schema the registry does not have yet, events out of sequence."""

import asyncio
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psycopg

from eventlog.partitioning import partition_of
from eventlog.settings import Settings
from schemas import avro, publish
from schemas.codec import Codec
from schemas.events import OrderConfirmed, PaymentRecorded
from schemas.registry import Registry
from tests.kit.worlds import Worker, eventually
from tests.projections.histories import placed
from tests.projections.log import LogWriter
from tests.projections.running import append


@dataclass
class Unregistered:
    """A newer schema of OrderConfirmed, under the id that the registry will give it once it is registered.

    A registry counts, so the id is that after the last one; nothing else may be registered in between.
    """

    settings: Settings
    codec: Codec
    schema_id: int = field(init=False)
    _name: str = field(default_factory=lambda: f"f{uuid4().hex}")

    def __post_init__(self) -> None:
        stamp = {"type": "record", "name": f"r{uuid4().hex}", "fields": []}
        with Registry(self.settings.registry_url) as registry:
            self.schema_id = registry.register(f"{self.settings.topic_prefix}stamp-{self._name}", stamp) + 1

    def encode(self, event: OrderConfirmed) -> bytes:
        """`event`, its new field null."""
        return b"\x00" + self.schema_id.to_bytes(4) + self.codec.encode(event)[5:] + b"\x00"

    def register(self) -> None:
        """From now on the registry has it."""
        schema = avro.latest("OrderConfirmed")
        newer_field: dict[str, Any] = {"name": self._name, "type": ["null", "string"], "default": None}
        newer = {**schema, "fields": [*schema["fields"], newer_field]}
        subject = publish.subject_of(self.settings.topic("order.events"), "OrderConfirmed")
        with Registry(self.settings.registry_url) as registry:
            assert registry.register(subject, newer) == self.schema_id


async def order_that_cannot_be_read(writer: LogWriter, newer: Unregistered) -> UUID:
    """An order whose second event is written under `newer`; the third is as any other."""
    order = placed()
    await writer.append([order])
    await writer.append_encoded(newer.encode(OrderConfirmed(order.order_id, 998)), order.order_id, 2)
    writer.versions[str(order.order_id)] = 2
    await writer.append([PaymentRecorded(order.order_id, 500, "a")])
    return order.order_id


async def order_out_of_sequence(writer: LogWriter) -> tuple[UUID, str]:
    """An order with a stray seventh event before its second; and the stray one's position."""
    order = placed()
    await writer.append([order])
    writer.versions[str(order.order_id)] = 6
    offset = await writer.append([OrderConfirmed(order.order_id, 998)])
    writer.versions[str(order.order_id)] = 1
    await writer.append([OrderConfirmed(order.order_id, 998), PaymentRecorded(order.order_id, 400, "b")])
    return order.order_id, f"{partition_of(order.order_id, writer.settings.partitions)}:{offset}"


async def poisoned(writer: LogWriter, newer: Unregistered, seed: int) -> None:
    """Append good orders, and eleven that must be parked."""
    for n in range(10):
        await append(writer, 10, seed=100 * seed + n)
        await order_that_cannot_be_read(writer, newer)
    await order_out_of_sequence(writer)


async def parked_rows(
    settings: Settings, worker: Worker, which: str, more: int, or_done: asyncio.Task[None] | None = None
) -> None:
    """Return once `more` rows of what was parked are as `which` says, or a task is done."""

    def count() -> int:
        with psycopg.connect(settings.postgres_url) as connection:
            query = f"SELECT count(*) FROM orderlog.parked_events WHERE {which}"
            return int((connection.execute(query.encode()).fetchone() or [0])[0])

    wanted = count() + more
    await eventually(lambda: (or_done and or_done.done()) or count() >= wanted, worker)
