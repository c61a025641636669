"""What must be true of a world in the end, whatever was killed: read from its log, topics, tables and mails."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote
from uuid import UUID

import psycopg

from eventlog.messages import Message
from eventlog.recorded import RecordedEvent
from eventlog.settings import Settings
from schemas.public_events import InventoryReserved, WholeOrder
from subscribers.inventory.level import Level
from subscribers.inventory.subscription import INVENTORY
from tests.backbone.shop import address_of
from tests.kit.subscribers import PublicTopics

ANSWERS = ("inventory.reserved", "inventory.rejected")
MAILED = ("order.confirmed", "order.rejected", "order.cancelled", "order.shipped")
WHOLE = ("order.placed", "order.changed")


def histories(log: Iterable[RecordedEvent]) -> dict[UUID, list[RecordedEvent]]:
    """{order: its events, in sequence}."""
    found: dict[UUID, list[RecordedEvent]] = defaultdict(list)
    for recorded in log:
        if recorded.metadata.version:
            found[UUID(recorded.metadata.subject)].append(recorded)
    return found


def names(history: Iterable[RecordedEvent]) -> list[str]:
    """The kinds of events, in sequence."""
    return [type(recorded.event).__name__ for recorded in history]


def assert_decided_once(orders: Mapping[UUID, Sequence[RecordedEvent]], answers: Iterable[Message]) -> None:
    """Every order was confirmed or rejected once, or cancelled before; and as the inventory answered for its lines."""
    by_id = {answer.event_id: answer.event for answer in answers}
    for order_id, history in orders.items():
        decisions = [one for one, name in zip(history, names(history), strict=True) if name in _DECISIONS]
        if not decisions and "OrderCancelled" in names(history):
            continue
        assert len(decisions) == 1, (order_id, names(history))
        (decision,) = decisions
        answer = by_id[decision.metadata.command_id]
        assert (answer.order_id, answer.order_version) == (order_id, decision.metadata.version - 1)
        assert _DECISIONS[type(decision.event).__name__] is isinstance(answer, InventoryReserved)


_DECISIONS = {"OrderConfirmed": True, "OrderRejected": False}


def assert_stock_adds_up(
    settings: Settings,
    orders: Mapping[UUID, Sequence[RecordedEvent]],
    told: Iterable[Message],
    received: Mapping[str, int],
) -> None:
    """Levels are what was received, less the lines of the orders that were shipped or are confirmed and will be."""
    lines: dict[UUID, tuple[int, dict[str, int]]] = {}
    for event in (message.event for message in told):
        if isinstance(event, WholeOrder) and event.order_version > lines.get(event.order_id, (0, {}))[0]:
            lines[event.order_id] = event.order_version, {line.sku: line.quantity for line in event.lines}
    reserved, shipped = Counter[str](), Counter[str]()
    for order_id, history in orders.items():
        if "OrderShipped" in names(history):
            shipped.update(lines[order_id][1])
        elif "OrderConfirmed" in names(history) and "OrderCancelled" not in names(history):
            reserved.update(lines[order_id][1])
    with psycopg.connect(settings.postgres_url) as connection:
        levels = {sku: Level(*level) for sku, *level in connection.execute("SELECT * FROM inventory.levels")}
    assert levels == {
        sku: Level(all_, all_ - reserved[sku] - shipped[sku], reserved[sku], shipped[sku])
        for sku, all_ in received.items()
    }
    assert all(min(level) >= 0 for level in levels.values())


def is_taken_in(settings: Settings, topics: PublicTopics) -> bool:
    """Whether the inventory has taken in all that is in its topics."""
    query = "SELECT event_id FROM subscribers.inbox WHERE subscriber = 'inventory'"
    with psycopg.connect(settings.postgres_url) as connection:
        taken = {event_id for (event_id,) in connection.execute(query)}
    return set(topics.counts(*(topic.name for topic in INVENTORY.topics))) == taken


def owed(told: Iterable[Message]) -> dict[str, str]:
    """{Message-ID: address} of the mails that are owed for what was told."""
    return {
        f"<{quote(message.event_id, safe='')}.{message.event.order_id}@example.com>": address_of(message.event.order_id)
        for message in told
        if message.topic in MAILED
    }


def mails_again(mails: Sequence[Mapping[str, Any]], owed_to: Mapping[str, str]) -> int:
    """How many of `mails`, which must be those that are owed, are there again."""
    for mail in mails:
        assert mail["to"] == [owed_to[mail["message_id"]]]
    sent = Counter(mail["message_id"] for mail in mails)
    assert sent.keys() == owed_to.keys()
    return sent.total() - len(sent)
