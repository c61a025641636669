"""The inventory as real processes: one answer for each order, and stock that adds up, whatever is killed."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from eventlog.settings import Settings
from schemas.public_events import InventoryRejected, InventoryReserved, OrderCancelled, OrderRejected, Shortage
from subscribers.inventory.level import Level
from subscribers.inventory.stock import Order, Pieces, State
from tests.kit.subscribers import PublicTopics, Subscriber, placed, told_of
from tests.kit.worlds import eventually
from tests.subscribers.inventory.histories import SKUS, assert_adds_up, returned, shipped

ANSWERS = ("inventory.reserved", "inventory.rejected")
RECEIVED = 2_000


@pytest.fixture
def services(settings: Settings, tmp_path: Path) -> Iterator[list[Subscriber]]:
    """Two processes of the inventory, not started."""
    with ExitStack() as stack:
        both = [Subscriber(settings, tmp_path / f"inventory-{number}.log", "inventory") for number in range(2)]
        for one in both:
            stack.callback(one.stop)
        yield both


def receive(service: Subscriber, sku: str, quantity: int) -> None:
    """Tell the service, which may be starting, of pieces that came in; once."""
    answer = httpx.post(
        f"{service.url}/stock/{sku}/receipts", json={"quantity": quantity}, headers={"Idempotency-Key": "delivered"}
    )
    answer.raise_for_status()


def seen(service: Subscriber, sku: str) -> Level:
    """The level that the service tells."""
    body = httpx.get(f"{service.url}/stock/{sku}").raise_for_status().json()
    return Level(**{name: body[name] for name in Level._fields})


def stock(settings: Settings) -> tuple[dict[str, Level], dict[UUID, Order]]:
    """What the tables hold."""
    with psycopg.connect(settings.postgres_url) as connection:
        levels = {sku: Level(*level) for sku, *level in connection.execute("SELECT * FROM inventory.levels")}
        rows = connection.execute("SELECT order_id, order_version, state, lines FROM inventory.reservations")
        orders = {
            order_id: Order(version, State(state), {sku: Pieces(**pieces) for sku, pieces in lines.items()})
            for order_id, version, state, lines in rows
        }
    return levels, orders


def taken(settings: Settings) -> int:
    """How many events were taken in."""
    with psycopg.connect(settings.postgres_url) as connection:
        rows = connection.execute("SELECT count(*) FROM subscribers.inbox WHERE subscriber = 'inventory'").fetchall()
    return int(rows[0][0])


async def test_an_order_is_reserved_and_another_is_short(
    topics: PublicTopics, settings: Settings, services: list[Subscriber]
) -> None:
    service = services[0]
    service.start()
    receive(service, "TEA-1", 5)
    first, second = uuid4(), uuid4()
    topics.publish(placed(first, ("TEA-1", 3)))
    await eventually(lambda: topics.read(*ANSWERS), service)
    topics.publish(placed(second, ("TEA-1", 3), ("CUP", 1)))
    await eventually(lambda: len(topics.read(*ANSWERS)) == 2, service)
    answers = {answer.event.order_id: answer for answer in topics.read(*ANSWERS)}
    assert answers[first].event == InventoryReserved(first, 1)
    assert answers[second].event == InventoryRejected(second, 1, (Shortage("TEA-1", 3, 2), Shortage("CUP", 1, 0)))
    assert answers[first].causation_id == f"{first}:1"
    topics.publish(shipped(first, 4), told_of(OrderRejected, second, 2))
    await eventually(lambda: taken(settings) == 4, service)
    assert seen(service, "TEA-1") == Level(5, 2, 0, 3)
    topics.publish(returned(first, 6, {"TEA-1": 1}))
    await eventually(lambda: stock(settings)[0]["TEA-1"] == Level(5, 3, 0, 2), service)


def followed(rolls: random.Random, order_id: UUID, lines: list[tuple[str, int]]) -> list[Any]:
    """What becomes of an order that was placed."""
    match rolls.choice(["open", "changed", "cancelled", "rejected", "shipped", "returned"]):
        case "changed":
            return [placed(order_id, (rolls.choice(SKUS), rolls.randint(1, 3)), version=2, changed=True)]
        case "cancelled":
            return [told_of(OrderCancelled, order_id, 2)]
        case "rejected":
            return [told_of(OrderRejected, order_id, 2)]
        case "shipped":
            return [shipped(order_id, 4)]
        case "returned":
            return [shipped(order_id, 4), returned(order_id, 6, {lines[0][0]: 1})]
        case _:
            return []


async def test_killed_and_rebalanced_under_load(
    topics: PublicTopics, settings: Settings, services: list[Subscriber]
) -> None:
    rolls, sent, open_orders = random.Random(11), 0, dict[UUID, int]()
    before: list[tuple[UUID, list[tuple[str, int]]]] = []
    services[0].start()
    for sku in SKUS:
        receive(services[0], sku, RECEIVED)
    services[1].start_only()
    for round_ in range(12):
        fresh = [(uuid4(), [(sku, rolls.randint(1, 5)) for sku in rolls.sample(SKUS, 2)]) for _ in range(150)]
        events = [placed(order_id, *lines) for order_id, lines in fresh]
        open_orders |= dict.fromkeys((order_id for order_id, _ in fresh), 1)
        for order_id, lines in before:
            news = followed(rolls, order_id, lines)
            events += news
            if news:
                del open_orders[order_id]
            if news and news[-1].order_version == 2 and hasattr(news[-1], "lines"):
                open_orders[order_id] = 2
        rolls.shuffle(events)
        topics.publish(*events)
        sent, before = sent + len(events), fresh
        if round_ % 3 == 2:
            victim = services[round_ // 3 % 2]
            victim.kill()
            victim.start_only()
        await eventually(lambda: taken(settings) > sent - 300)  # noqa: B023
    await eventually(lambda: taken(settings) == sent)
    await eventually(lambda: open_orders.items() <= set(answered(topics)))
    counts, (levels, orders) = answered(topics), stock(settings)
    assert {answer: count for answer, count in counts.items() if count > 1} == {}
    assert_adds_up(levels, orders.values(), dict.fromkeys(SKUS, RECEIVED))
    reserved = {(event.order_id, event.order_version) for event in events_of(topics, "inventory.reserved")}
    for answer in open_orders.items():
        assert (orders[answer[0]].state is State.RESERVED) == (answer in reserved)
    assert {order.state for order in orders.values()} == set(State)


def events_of(topics: PublicTopics, *names: str) -> list[Any]:
    return [message.event for message in topics.read(*names)]


def answered(topics: PublicTopics) -> Counter[tuple[UUID, int]]:
    """{(order, version): how often it was answered for}."""
    return Counter((event.order_id, event.order_version) for event in events_of(topics, *ANSWERS))
