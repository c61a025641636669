"""Parking on a real Postgres: only the order that fails is set aside."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from uuid import UUID, uuid4

import psycopg
import pytest

from projections.checkpoints import Applied
from schemas.events import LineAdded, OrderConfirmed, OrderEvent, WriterElected
from service.verdicts import TooManyParked
from tests.projections.histories import placed
from tests.projections.parking_world import World, interleaved, keyed, nonsense, order_of, unknown_schema, with_header
from tests.projections.records import Record, record
from tests.projections.refold import next_offsets

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
