"""Redrive and discard on a real Postgres: in sequence, once, beside live batches."""

import asyncio
from dataclasses import replace
from random import Random

import pytest

from eventlog.positions import Position
from projections.checkpoints import Applied
from projections.parking_records import NotParked, Selection
from projections.parking_redrive import DiscardRefused
from schemas import avro
from schemas.errors import BadInput
from schemas.events import Line, LineAdded, OrderConfirmed
from service.database import connect
from tests.projections.histories import placed
from tests.projections.parking_world import (
    EVERYTHING,
    NEWER_SCHEMA,
    World,
    interleaved,
    keyed,
    newer,
    nonsense,
)
from tests.projections.records import Record, record


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
