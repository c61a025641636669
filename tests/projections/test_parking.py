"""Parking on a real Postgres: only the order that fails is set aside, and comes back in sequence."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

import migrations
from eventlog.positions import Position
from eventlog.recorded import read_record
from eventlog.settings import Settings
from projections.bulk import Connection
from projections.checkpoints import Applied, apply_batch
from projections.database import connect
from projections.failures import TooManyParked
from projections.generations import Generation, live_generation
from projections.orders.view import OrdersView
from projections.parking_records import NotParked, ParkedEvent, Selection, select_parked
from projections.parking_redrive import DiscardRefused, Parking
from projections.schema_lookup import SchemaLookup
from schemas import avro
from schemas.avro import Schema
from schemas.codec import EVENT_NAMES, Codec
from schemas.errors import BadInput
from schemas.events import Line, LineAdded, OrderConfirmed, OrderEvent, WriterElected
from tests.projections.histories import history, placed
from tests.projections.records import Record, record, records
from tests.projections.refold import folded, next_offsets, view

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
        return view(self.settings) == folded([read_record(self.codec, 0, one) for one in log], {})

    def version_of(self, order_id: UUID) -> int:
        return int(view(self.settings)[str(order_id)]["version"])


@pytest.fixture
async def world(settings: Settings) -> AsyncIterator[World]:
    await asyncio.to_thread(migrations.upgrade, settings.postgres_url)
    async with await connect(settings.postgres_url) as connection:
        yield World(settings, connection, await live_generation(connection, VIEW))


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


DAMAGES: tuple[Callable[[Record], Record], ...] = (
    nonsense,
    unknown_schema,
    lambda one: replace(one, value=one.value[:-1]),
    lambda one: replace(one, value=None),  # type: ignore[arg-type]
    lambda one: with_header(one, "version", b"77"),
    lambda one: with_header(one, "version", None),
    lambda one: with_header(one, "ce_time", b"\xff\xfe"),
    lambda one: with_header(one, "ce_id", b"x" * 100),  # does no harm
)


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_is_damaged_its_order_waits_and_all_others_go_on(world: World, seed: int) -> None:
    random = Random(seed)
    log = keyed(world.log(interleaved(random, 40)))
    given = list(log)
    for offset in random.sample(range(len(log)), 6):
        given[offset] = random.choice(DAMAGES)(log[offset])
    start = 0
    while start < len(given):
        end = start + random.randint(1, 60)
        await world.apply(given[max(start - random.randint(0, 5), 0) : end])  # some of it comes again
        start = end
    parked = await world.parked_offsets()
    first: dict[str, int] = {}
    for offset in sorted(parked):
        first.setdefault(order_of(log[offset]), offset)
    # Of an order with a parked event, all from the first one on are parked, and of no other any.
    assert set(parked) == {one.offset for one in log if one.offset >= first.get(order_of(one), len(log))}
    assert all(parked[offset] == "failed" for offset in first.values())
    assert next_offsets(world.settings) == {0: len(log)}
    assert world.matches([one for one in log if one.offset not in parked])


@pytest.mark.parametrize("batch", [1, 1_000])
@pytest.mark.parametrize(
    "poison",
    [
        lambda order_id: LineAdded(order_id, "GOLD", 2, 2**62),  # the total leaves bigint
        lambda order_id: LineAdded(order_id, "NUL\x00", 1, 1),
        lambda order_id: LineAdded(order_id, "GOLD", 4, -(2**62)),
    ],
)
async def test_what_postgres_refuses_is_found_among_others(
    world: World, poison: Callable[[UUID], OrderEvent], batch: int
) -> None:
    bad = uuid4()
    events = interleaved(Random(1), 30)
    events[20:20] = [placed(bad), poison(bad), OrderConfirmed(bad, 998)]
    log = world.log(events)
    for start in range(0, len(log), batch):
        await world.apply(log[start : start + batch])
    assert await world.parked_offsets() == {21: "failed", 22: "behind"}
    failed, behind = await world.parked()
    assert failed.reason.startswith(("Postgres refuses it: ", "OverflowError: "))
    assert "Traceback" in str(failed.traceback)
    assert (failed.order_id, failed.attempts, behind.attempts) == (bad, 1, 0)
    assert world.matches([one for one in log if one.offset not in (21, 22)])


async def test_a_batch_in_which_every_order_fails(world: World) -> None:
    log = world.log([placed() for _ in range(20)])
    await world.connection.execute(f"ALTER TABLE {world.generation.schema}.orders ADD CHECK (total < 0)".encode())
    assert await world.apply(log) == Applied(20, 20, parked=20)


async def test_so_many_that_it_is_hardly_them_stop_the_worker(world: World) -> None:
    log = world.log([placed() for _ in range(20)])
    await world.connection.execute(f"ALTER TABLE {world.generation.schema}.orders ADD CHECK (total < 0)".encode())
    await world.apply(log[:10], most_parked=10)
    with pytest.raises(TooManyParked, match="more than 10 orders would be parked"):
        await world.apply(log[10:], most_parked=10)
    assert next_offsets(world.settings) == {0: 10}


async def test_nothing_is_parked_for_what_passes(world: World) -> None:
    raising = """
        CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$
    """
    await world.connection.execute(raising)
    on = f"{world.generation.schema}.orders"
    await world.connection.execute(f"CREATE TRIGGER t BEFORE INSERT ON {on} EXECUTE FUNCTION full_disk()".encode())
    log = world.log([placed() for _ in range(3)])
    with pytest.raises(psycopg.errors.DiskFull):
        await world.apply(log)
    # Nor when an event among them is parked: all of it waits.
    with pytest.raises(psycopg.errors.DiskFull):
        await world.apply([log[0], nonsense(log[1]), log[2]])
    assert await world.parked() == []
    assert next_offsets(world.settings) == {}


async def test_a_record_that_names_no_order_holds_up_none(world: World) -> None:
    order = placed()
    first, second = world.log([order, OrderConfirmed(order.order_id, 998)])
    lost = Record(1, b"nonsense", [], key=b"not an order")
    await world.apply([first, lost, replace(second, offset=2)])
    (parked,) = await world.parked()
    assert (parked.offset, parked.order_id, parked.state) == (1, None, "failed")
    assert world.version_of(order.order_id) == 2


async def test_a_barrier_that_cannot_be_read_still_deposes(world: World) -> None:
    order = placed()
    barrier = record(world.codec, 1, WriterElected("b", 2, 2, 0, "http://b"), version=0, term=2)
    late = record(world.codec, 2, OrderConfirmed(order.order_id, 998), version=2, term=1)
    unreadable_and_late = replace(nonsense(late), offset=3)
    batch = [record(world.codec, 0, order), nonsense(barrier), late, unreadable_and_late]
    assert await world.apply(batch) == Applied(4, 4, deposed=2, parked=1)
    assert await world.parked_offsets() == {1: "failed"}
    assert world.version_of(order.order_id) == 1


async def newer(world: World) -> tuple[list[Record], UUID]:
    """The records of an order whose second event is written under a schema that the registry does not have yet."""
    order = placed()
    order_id = order.order_id
    log = world.log([order, OrderConfirmed(order_id, 998), LineAdded(order_id, "B", 1, 5), placed()])
    log[1].value = b"\x00" + NEWER_SCHEMA.to_bytes(4) + log[1].value[5:]
    return keyed(log), order_id


async def test_redriven_once_the_cause_is_gone_and_followed_by_what_comes_live(world: World) -> None:
    log, order_id = await newer(world)
    assert await world.apply(log[:2]) == Applied(2, 2, parked=1)
    await world.apply(log[2:])
    assert await world.parked_offsets() == {1: "failed", 2: "behind"}
    assert (await world.parked())[0].reason == f"DecodeError: the registry has no schema {NEWER_SCHEMA}"

    (again,) = await world.parking.redrive(EVERYTHING)
    assert (again.applied, again.left) == (0, 2)
    assert [event.attempts for event in await world.parked()] == [2, 0]

    world.registry[NEWER_SCHEMA] = avro.latest("OrderConfirmed")
    (rehearsed,) = await world.parking.redrive(EVERYTHING, dry_run=True)
    assert await world.parked_offsets() == {1: "failed", 2: "behind"}
    (done,) = await world.parking.redrive(EVERYTHING)
    assert (done.applied, done.left, done) == (2, 0, rehearsed)
    assert world.matches(log)
    with pytest.raises(NotParked, match="anything is not parked"):
        await world.parking.redrive(EVERYTHING)
    live = record(world.codec, 4, LineAdded(order_id, "C", 1, 5), version=4)
    assert await world.apply([live]) == Applied(5, 1)
    assert world.version_of(order_id) == 4


async def test_a_redrive_goes_as_far_as_it_goes(world: World) -> None:
    log, order_id = await newer(world)
    log[3] = replace(nonsense(log[2]), offset=3)
    await world.apply(log)
    world.registry[NEWER_SCHEMA] = avro.latest("OrderConfirmed")
    (upto,) = await world.parking.redrive(Selection(position=Position(0, 1)))
    assert (upto.applied, upto.left, world.version_of(order_id)) == (1, 2, 2)
    (rest,) = await world.parking.redrive(Selection(order_id=order_id))
    assert (rest.applied, rest.left, world.version_of(order_id)) == (1, 1, 3)
    assert await world.parked_offsets() == {3: "failed"}


async def test_redrives_at_once_and_live_batches_in_between_apply_each_event_once(world: World) -> None:
    random = Random(7)
    log = keyed(world.log(interleaved(random, 30)))
    given = [nonsense(one) if one.offset % 40 == 7 else one for one in log]
    half = len(log) // 2
    await world.apply(given[:half])
    # What was unreadable is what it should have been: as if the registry had got a schema.
    for one in await world.parked():
        values = [log[one.offset].value, one.offset]
        await world.connection.execute('UPDATE orderlog.parked_events SET value = %s WHERE "offset" = %s', values)

    async def redrive() -> None:
        async with await connect(world.settings.postgres_url) as connection:
            for _ in range(5):
                try:
                    await world.parking_over(connection).redrive(EVERYTHING)
                except NotParked:
                    await asyncio.sleep(0)

    async def follow() -> None:
        async with await connect(world.settings.postgres_url) as connection:
            for start in range(half, len(log), 9):
                await world.apply(log[start : start + 9], connection)

    await asyncio.gather(redrive(), redrive(), follow())
    if await world.parked():
        await world.parking.redrive(EVERYTHING)
    assert world.matches(log)


async def test_discarding_what_is_no_event_lets_its_order_go_on(world: World) -> None:
    order = placed()
    first, second = keyed(world.log([order, OrderConfirmed(order.order_id, 998)]))
    stray = Record(1, b"nonsense", [], key=first.key)
    await world.apply([first, stray, replace(second, offset=2)])
    assert await world.parked_offsets() == {1: "failed", 2: "behind"}
    rehearsed = await world.parking.discard(Selection(position=Position(0, 1)), dry_run=True)
    assert await world.parked_offsets() == {1: "failed", 2: "behind"}
    assert await world.parking.discard(Selection(position=Position(0, 1))) == rehearsed
    assert [(one.discarded, one.applied, one.left) for one in rehearsed] == [(1, 1, 0)]
    assert world.version_of(order.order_id) == 2


async def test_discarding_part_of_an_orders_history_is_refused_unless_forced(world: World) -> None:
    log, order_id = await newer(world)
    await world.apply(log)
    at = Selection(position=Position(0, 1))
    with pytest.raises(DiscardRefused, match="what waits behind it of order"):
        await world.parking.discard(at)
    assert await world.parked_offsets() == {1: "failed", 2: "behind"}
    (forced,) = await world.parking.discard(at, force=True)
    assert (forced.discarded, forced.applied, forced.left) == (1, 0, 1)
    assert await world.parked_offsets() == {2: "failed"}
    with pytest.raises(DiscardRefused, match="version 3 is part of the history of order"):
        await world.parking.discard(EVERYTHING)
    (last,) = await world.parking.discard(EVERYTHING, force=True)
    assert (last.discarded, last.left) == (1, 0)
    # The order goes on in the log, and is parked again: its view lacks what was discarded.
    await world.apply([record(world.codec, 4, LineAdded(order_id, "C", 1, 5), version=4)])
    assert await world.parked_offsets() == {4: "failed"}
    assert world.version_of(order_id) == 1


async def test_what_another_version_of_the_code_made_is_left_alone(world: World) -> None:
    await world.apply([nonsense(one) for one in keyed(world.log([placed()]))])
    await world.connection.execute("UPDATE orderlog.generations SET version = 99")
    with pytest.raises(BadInput, match="was made by version 99 of its code"):
        await world.parking.redrive(EVERYTHING)


async def test_an_event_with_an_amount_that_fits_later_applies_as_every_other(world: World) -> None:
    """A constraint that somebody added by hand, and took away again."""
    table = f"{world.generation.schema}.orders".encode()
    await world.connection.execute(b"ALTER TABLE " + table + b" ADD CONSTRAINT cheap CHECK (total < 1000)")
    big = placed(lines=(Line("TEA", 9, 499),))
    log = world.log([placed(), big, OrderConfirmed(big.order_id, 9 * 499)])
    await world.apply(log)
    await world.connection.execute(b"ALTER TABLE " + table + b" DROP CONSTRAINT cheap")
    assert [(one.applied, one.left) for one in await world.parking.redrive(EVERYTHING)] == [(2, 0)]
    assert world.matches(log)
