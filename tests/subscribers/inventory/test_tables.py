"""The stock in a real Postgres: batches of events through the inbox, one after another and two at a time."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import migrations
from eventlog.messages import Message
from eventlog.settings import Settings
from schemas.public_events import InventoryRejected, InventoryReserved, OrderCancelled
from service.database import Connection, connect
from subscribers.deliveries import Delivery, Opened
from subscribers.failures import TakenMeanwhile
from subscribers.inventory.level import Level
from subscribers.inventory.stock import Stock
from subscribers.inventory.subscription import INVENTORY
from subscribers.inventory.tables import load
from subscribers.taking import Batch, take
from tests.kit.subscribers import placed, told_of
from tests.subscribers.inventory.histories import SKUS, assert_adds_up, deliveries, returned, shipped

WHEN = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.fixture
async def connection(settings: Settings) -> AsyncIterator[Connection]:
    await asyncio.to_thread(migrations.upgrade, settings.postgres_url)
    async with await connect(settings.postgres_url) as connection:
        yield connection


async def receive(connection: Connection, **received: int) -> None:
    for sku, pieces in received.items():
        await connection.execute(
            "INSERT INTO inventory.levels (sku, received, available) VALUES (%s, %s, %s)", [sku, pieces, pieces]
        )


async def held(connection: Connection) -> Stock:
    """All that the tables hold."""
    rows = await (await connection.execute("SELECT order_id FROM inventory.reservations")).fetchall()
    orders = [told_of(OrderCancelled, order_id, 1) for (order_id,) in rows]
    stock = await load(connection, orders)
    skus = await (await connection.execute("SELECT * FROM inventory.levels")).fetchall()
    return Stock({sku: Level(*level) for sku, *level in skus}, stock.orders)


def opened(events: Sequence[Any]) -> list[Opened]:
    """`events` as they are delivered; the version tells the place, so that the same event has the same."""
    found = []
    for event in events:
        topic = next(t.name for t in INVENTORY.topics if t.schemas == (f"public.{type(event).__name__}",))
        message = Message(f"{event.order_id}:{event.order_version}", topic, WHEN, event)
        key, offset = str(event.order_id).encode(), event.order_id.int % 2**40 * 100 + event.order_version
        headers = (("ce_id", message.event_id.encode()),)
        found.append(Opened(Delivery(topic, 0, offset, 0, key, b"", headers), message))
    return found


async def taken(connection: Connection, *events: Any) -> Batch:
    return await take(connection, INVENTORY, opened(events), Settings(_env_file=None))


async def test_a_batch_is_answered_and_kept(connection: Connection) -> None:
    await receive(connection, TEA=5)
    first, second, third = uuid4(), uuid4(), uuid4()
    batch = await taken(
        connection,
        placed(first, ("TEA", 3)),
        placed(second, ("TEA", 3)),
        told_of(OrderCancelled, first, 2),
        placed(third, ("TEA", 3)),
        shipped(third, 4),
        returned(third, 6, {"TEA": 1}),
    )
    answers = {message.event.order_id: message for message in batch.answers}
    assert isinstance(answers[first].event, InventoryReserved)
    assert isinstance(answers[second].event, InventoryRejected)
    assert isinstance(answers[third].event, InventoryReserved)
    assert (answers[second].topic, answers[third].topic) == ("inventory.rejected", "inventory.reserved")
    assert (await held(connection)).levels == {"TEA": Level(5, 3, 0, 2)}


async def test_the_same_batch_again_changes_nothing(connection: Connection) -> None:
    await receive(connection, TEA=5)
    events = [placed(order, ("TEA", 2)) for order in (uuid4(), uuid4(), uuid4())]
    first = await taken(connection, *events)
    before = await held(connection)
    again = await taken(connection, *events)
    assert [message.event for message in again.answers] == [message.event for message in first.answers]
    assert (again.taken, again.repeated) == (0, 3)
    after = await held(connection)
    assert (after.levels, after.orders) == (before.levels, before.orders)


async def test_a_sku_that_was_never_received_is_short_and_may_still_be_shipped(connection: Connection) -> None:
    order = uuid4()
    batch = await taken(connection, placed(order, ("MUG", 2)))
    assert isinstance(batch.answers[0].event, InventoryRejected)
    assert (await held(connection)).levels == {}
    await taken(connection, shipped(order, 4))
    assert (await held(connection)).levels == {"MUG": Level(2, 0, 0, 2, unstocked=2)}


async def test_an_order_that_makes_no_sense_is_parked_alone(connection: Connection) -> None:
    await receive(connection, TEA=5)
    good, bad, worse = uuid4(), uuid4(), uuid4()
    lines = [placed(good, ("TEA", 2)), placed(bad, ("TEA", -2)), placed(worse, ("\0", 1))]
    batch = await taken(connection, *lines, told_of(OrderCancelled, bad, 2))
    assert [message.event for message in batch.answers] == [InventoryReserved(good, 1)]
    assert [one.delivery.order_id for one in batch.parked] == [bad, worse, bad]
    assert (await held(connection)).levels == {"TEA": Level(5, 3, 2)}


async def test_postgres_refuses_what_does_not_add_up(connection: Connection) -> None:
    for change in ("available = -1, received = -1", "received = 1", "reserved = 1"):
        await connection.execute("INSERT INTO inventory.levels (sku) VALUES ('TEA') ON CONFLICT DO NOTHING")
        with pytest.raises(psycopg.errors.CheckViolation):
            await connection.execute(f"UPDATE inventory.levels SET {change}".encode())


async def test_an_order_that_two_processes_hear_of_first_is_tried_again(
    connection: Connection, settings: Settings
) -> None:
    await receive(connection, TEA=5)
    order = uuid4()
    async with await connect(settings.postgres_url) as other:
        async with other.transaction():
            await taken(other, told_of(OrderCancelled, order, 2))
            waiting = asyncio.create_task(taken(connection, placed(order, ("TEA", 3))))
            await asyncio.wait([waiting], timeout=0.2)
            assert not waiting.done()
        with pytest.raises(TakenMeanwhile):
            await waiting
    assert (await taken(connection, placed(order, ("TEA", 3)))).answers == []
    assert (await held(connection)).levels == {"TEA": Level(5, 5)}


async def test_a_sku_that_two_processes_ship_first_counts_both(connection: Connection, settings: Settings) -> None:
    orders = [uuid4(), uuid4()]
    await taken(connection, *(placed(order, ("MUG", 2)) for order in orders))
    async with await connect(settings.postgres_url) as other:
        async with other.transaction():
            await taken(other, shipped(orders[0], 4))
            waiting = asyncio.create_task(taken(connection, shipped(orders[1], 4)))
            await asyncio.wait([waiting], timeout=0.2)
        await waiting
    assert (await held(connection)).levels == {"MUG": Level(4, 0, 0, 4, unstocked=4)}


async def test_two_processes_at_once_never_sell_a_piece_twice(connection: Connection, settings: Settings) -> None:
    await receive(connection, **dict.fromkeys(SKUS, 300))
    rolls = random.Random(7)

    async def process(database: Connection) -> int:
        reserved = 0
        for _ in range(20):
            orders = [
                placed(uuid4(), *((sku, rolls.randint(1, 3)) for sku in rolls.sample(SKUS, 2))) for _ in range(20)
            ]
            batch = await taken(database, *orders)
            reserved += sum(isinstance(message.event, InventoryReserved) for message in batch.answers)
        return reserved

    async with await connect(settings.postgres_url) as other:
        counted = await asyncio.gather(process(connection), process(other))
    stock = await held(connection)
    assert_adds_up(stock.levels, stock.orders.values(), dict.fromkeys(SKUS, 300))
    assert sum(counted) == sum(order.state == "reserved" for order in stock.orders.values())
    assert min(level.available for level in stock.levels.values()) < 3


async def test_batches_come_to_the_same_as_one_fold(connection: Connection) -> None:
    """Whatever is delivered, cut into batches anywhere and repeated."""

    async def come_to_the_same(events: list[Any], received: dict[str, int], cuts: set[int]) -> None:
        await connection.execute("TRUNCATE inventory.levels, inventory.reservations, subscribers.inbox")
        await receive(connection, **received)
        expected = Stock((await held(connection)).levels, {})
        answers = [answer for event in events if (answer := expected.take(event))]
        told, batch = [], list[Any]()
        for number, event in enumerate(events):
            batch.append(event)
            if number in cuts or number == len(events) - 1:
                told += [message.event for message in (await taken(connection, *batch)).answers]
                batch = batch[-2:]  # what was the end of this one comes again
        assert list(dict.fromkeys(told)) == answers
        stock = await held(connection)
        assert stock.levels == expected.levels
        assert stock.orders == expected.orders
        assert_adds_up(stock.levels, stock.orders.values(), received)

    loop = asyncio.get_running_loop()

    @hypothesis_settings(
        max_examples=40,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(deliveries(), st.dictionaries(st.sampled_from(SKUS), st.integers(0, 12)), st.sets(st.integers(0, 30)))
    def holds(events: list[Any], received: dict[str, int], cuts: set[int]) -> None:
        asyncio.run_coroutine_threadsafe(come_to_the_same(events, received, cuts), loop).result()

    await asyncio.to_thread(holds)
