"""A subscriber as a real process: each event counts once, each answer goes once, whatever is killed."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from eventlog.settings import Settings
from schemas.public_events import OrderCancelled
from tests.kit.subscribers import PublicTopics, Subscriber, placed, told_of
from tests.kit.worlds import eventually
from tests.subscribers.echo import POISON

MODULE = "tests.subscribers.echo"


@pytest.fixture
def subscribers(settings: Settings, tmp_path: Path) -> Iterator[list[Subscriber]]:
    """Two processes of the subscriber, not started."""
    with ExitStack() as stack:
        both = [Subscriber(settings, tmp_path / f"echo-{number}.log", "echo", MODULE) for number in range(2)]
        for one in both:
            stack.callback(one.stop)
        yield both


def noted(settings: Settings) -> list[str]:
    """The ids of the events that were handled, in that order."""
    with psycopg.connect(settings.postgres_url) as connection:
        return [event_id for (event_id,) in connection.execute("SELECT event_id FROM echo.noted ORDER BY sequence")]


async def test_each_event_counts_once_and_is_answered_once(
    echo: PublicTopics, settings: Settings, subscribers: list[Subscriber]
) -> None:
    orders = [uuid4() for _ in range(50)]
    sent = echo.publish(*(placed(order) for order in orders), repeated=2)
    subscribers[0].start()
    await eventually(lambda: len(echo.read("inventory.reserved")) >= len(orders), subscribers[0])
    more = echo.publish(*(placed(uuid4()) for _ in range(50)))
    await eventually(lambda: len(echo.read("inventory.reserved")) >= 100, subscribers[0])
    answers = echo.read("inventory.reserved")
    assert sorted(answer.event_id for answer in answers) == sorted(f"echo:{one.event_id}" for one in (*sent, *more))
    assert {answer.causation_id for answer in answers} == {one.event_id for one in (*sent, *more)}
    assert sorted(noted(settings)) == sorted(one.event_id for one in (*sent, *more))


async def test_killed_and_rebalanced_under_load(
    echo: PublicTopics, settings: Settings, subscribers: list[Subscriber]
) -> None:
    sent = set[str]()
    for one in subscribers:
        one.start_only()
    for round_ in range(12):
        sent |= {one.event_id for one in echo.publish(*(placed(uuid4()) for _ in range(200)))}
        victim = subscribers[round_ % 2]
        if round_ % 3 == 2:
            victim.kill()
            victim.start_only()
        await eventually(lambda: len(noted(settings)) > len(sent) - 300)  # noqa: B023
    await eventually(lambda: len(echo.read("inventory.reserved")) >= len(sent))
    counts = echo.counts("inventory.reserved")
    assert set(counts) == {f"echo:{event_id}" for event_id in sent}
    assert {event_id: count for event_id, count in counts.items() if count > 1} == {}
    assert sorted(noted(settings)) == sorted(sent)


async def test_what_cannot_be_handled_is_parked_and_others_go_on(
    echo: PublicTopics, settings: Settings, subscribers: list[Subscriber]
) -> None:
    bad, good, garbled = uuid4(), uuid4(), uuid4()
    subscribers[0].start()
    echo.publish(placed(bad, ("TEA-1", POISON)), placed(good))
    echo.write("order.placed", str(garbled).encode(), b"not avro")
    echo.publish(told_of(OrderCancelled, bad, 2), told_of(OrderCancelled, good, 2))
    await eventually(lambda: len(parked(settings)) == 3, subscribers[0])
    await eventually(lambda: len(noted(settings)) == 2, subscribers[0])
    assert {(order, state) for order, state in parked(settings)} == {
        (bad, "failed"),
        (bad, "behind"),
        (garbled, "failed"),
    }
    notices = await eventually(lambda: some(echo.records("echo.dlq"), 3), subscribers[0])
    assert {notice.key() for notice in notices} == {str(bad).encode(), str(garbled).encode()}
    reasons = {dict(notice.headers())["parked_reason"].decode() for notice in notices}
    assert "RuntimeError: this order cannot be handled" in reasons


def parked(settings: Settings) -> list[tuple[UUID, str]]:
    """(order, state) of what is parked."""
    with psycopg.connect(settings.postgres_url) as connection:
        return connection.execute("SELECT order_id, state FROM subscribers.parked ORDER BY sequence").fetchall()


def some(found: list[object], least: int) -> list[object]:
    """`found` if there are so many."""
    return found if len(found) >= least else []
