"""What a subscriber tells of itself: metrics of what it did, and why it is not ready."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from eventlog.settings import Settings
from schemas.public_events import OrderCancelled
from tests.kit.subscribers import PublicTopics, Subscriber, placed, told_of
from tests.kit.worlds import eventually
from tests.subscribers.echo import POISON
from tests.subscribers.test_runner import MODULE

PREFIX = "orderlog_subscriber_"


@pytest.fixture
def subscribers(settings: Settings, tmp_path: Path) -> Iterator[list[Subscriber]]:
    """Two processes of the subscriber, not started."""
    with ExitStack() as stack:
        both = [Subscriber(settings, tmp_path / f"echo-{number}.log", "echo", MODULE) for number in range(2)]
        for one in both:
            stack.callback(one.stop)
        yield both


def fetched(subscriber: Subscriber, path: str) -> httpx.Response:
    return httpx.get(f"{subscriber.url}{path}")


def metrics(subscriber: Subscriber) -> dict[str, dict[tuple[str, ...], float]]:
    """{name without prefix: {values of the labels besides the subscriber's, by their names: value}}."""
    answer = fetched(subscriber, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples if family.name.startswith(PREFIX) else ():
            labels = dict(sample.labels)
            assert labels.pop("subscriber") == "echo"
            found.setdefault(sample.name.removeprefix(PREFIX), {})[tuple(labels[name] for name in sorted(labels))] = (
                sample.value
            )
    return found


def readiness(subscriber: Subscriber) -> tuple[int, Any]:
    answer = fetched(subscriber, "/readyz")
    return answer.status_code, answer.json()


async def test_metrics_count_what_was_done_and_the_lag_goes_to_none(
    echo: PublicTopics, subscribers: list[Subscriber]
) -> None:
    subscriber = subscribers[0]
    subscriber.start()
    orders, bad = [uuid4() for _ in range(40)], uuid4()
    echo.publish(*(placed(order) for order in orders), repeated=2)
    echo.publish(*(told_of(OrderCancelled, order, 2) for order in orders), placed(bad, ("TEA-1", POISON)))

    def settled() -> bool:
        now = metrics(subscriber)
        lag = now.get("lag_messages", {})
        topics = {topic for _, topic in lag}
        return now["messages_taken_total"][()] == 80 and len(topics) == 2 and not any(lag.values())

    await eventually(settled, subscriber)
    await eventually(lambda: metrics(subscriber)["parked_orders"] == {(): 1}, subscriber)
    now = metrics(subscriber)
    assert now["messages_repeated_total"] == {(): 40}
    assert now["messages_parked_total"] == {(): 1}
    assert now["answers_published_total"] == {(): 40}
    assert now["batches_total"][()] >= 1
    assert now["tasks_due"] == {(): 0}
    assert {partition for partition, _ in now["lag_messages"]} <= {str(partition) for partition in range(6)}


async def test_not_ready_while_the_group_gives_it_nothing(echo: PublicTopics, subscribers: list[Subscriber]) -> None:
    first, second = subscribers
    first.start()
    ready = {"status": "ready", "reason": None, "partitions": 12}
    await eventually(lambda: readiness(first) == (200, ready), first)
    first.signal(signal.SIGSTOP)  # the group waits for it
    try:
        second.start_only()
        await eventually(lambda: answers(second), second)
        code, told = readiness(second)
        assert (code, told["status"], told["partitions"]) == (503, "not ready", 0)
        assert told["reason"] == "the consumer group has not given it partitions yet"
        assert fetched(second, "/healthz").json() == {"status": "ok"}
    finally:
        first.signal(signal.SIGCONT)
    await eventually(lambda: sum(readiness(one)[1]["partitions"] for one in subscribers) == 12)
    await eventually(lambda: [readiness(one)[0] for one in subscribers] == [200, 200])


def answers(subscriber: Subscriber) -> bool:
    """Whether its pages can be read."""
    try:
        return fetched(subscriber, "/healthz").is_success
    except httpx.TransportError:
        return False
