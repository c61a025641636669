"""A partition of the `orders` view in which events fail, without a broker."""

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from uuid import UUID

from eventlog.recorded import read_record
from eventlog.settings import Settings
from projections.checkpoints import Applied, apply_batch
from projections.generations import Generation
from projections.orders.view import OrdersView
from projections.parking_records import ParkedEvent, Selection, select_parked
from projections.parking_redrive import Parking
from projections.schema_lookup import SchemaLookup
from schemas.avro import Schema
from schemas.codec import EVENT_NAMES, Codec
from schemas.events import LineAdded, OrderConfirmed, OrderEvent
from service.database import Connection
from tests.projections.histories import history, placed
from tests.projections.records import Record, records
from tests.projections.refold import folded, view

VIEW = OrdersView()

EVERYTHING = Selection()

NEWER_SCHEMA = 1_000  # OrderConfirmed's, as a registry may know it under another id


@dataclass
class World:
    """Partition 0 of the view, and a registry of which the test decides what it has."""

    settings: Settings
    connection: Connection
    generation: Generation
    registry: dict[int, Schema] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.schemas = SchemaLookup(self.registry.__getitem__)
        ids = {name: index for index, name in enumerate(EVENT_NAMES, start=1)}
        self.codec = Codec(ids, self.schemas)
        self.parking = self.parking_over(self.connection)

    def parking_over(self, connection: Connection) -> Parking:
        return Parking(connection, self.codec, self.schemas, {VIEW.name: VIEW})

    async def apply(self, batch: list[Record], connection: Connection | None = None, **more: Any) -> Applied:
        given = (connection or self.connection, VIEW, self.generation, self.codec, 0, batch)
        return await self.schemas.around(lambda: apply_batch(*given, **more))

    async def parked(self) -> list[ParkedEvent]:
        return await select_parked(self.connection, EVERYTHING)

    async def parked_offsets(self) -> dict[int, str]:
        return {event.offset: event.state for event in await self.parked()}

    def log(self, events: list[OrderEvent]) -> list[Record]:
        return records(self.codec, events)

    def matches(self, log: list[Record]) -> bool:
        """Whether the view is what the records of `log` come to."""
        return view(self.settings) == folded([read_record(self.codec, 0, one) for one in log])

    def version_of(self, order_id: UUID) -> int:
        return int(view(self.settings)[str(order_id)]["version"])


def interleaved(random: Random, orders: int) -> list[OrderEvent]:
    """The events of many orders, each order's in sequence."""
    histories = [history(random) for _ in range(orders)]
    turns = [index for index, events in enumerate(histories) for _ in events]
    random.shuffle(turns)
    return [histories[index].pop(0) for index in turns]


def order_of(one: Record) -> str:
    return next(value.decode() for name, value in one.headers if name == "ce_subject")


def keyed(log: list[Record]) -> list[Record]:
    for one in log:
        one.key = order_of(one).encode()
    return log


def nonsense(one: Record) -> Record:
    return replace(one, value=b"nonsense")


def unknown_schema(one: Record) -> Record:
    return replace(one, value=b"\x00" + (999).to_bytes(4) + one.value[5:])


def with_header(one: Record, name: str, value: bytes | None) -> Record:
    kept = [header for header in one.headers if header[0] != name]
    return replace(one, headers=kept if value is None else [*kept, (name, value)])


async def newer(world: World) -> tuple[list[Record], UUID]:
    """The records of an order whose second event is written under a schema that the registry does not have yet."""
    order = placed()
    order_id = order.order_id
    log = world.log([order, OrderConfirmed(order_id, 998), LineAdded(order_id, "B", 1, 5), placed()])
    log[1].value = b"\x00" + NEWER_SCHEMA.to_bytes(4) + log[1].value[5:]
    return keyed(log), order_id
