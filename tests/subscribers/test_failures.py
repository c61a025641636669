"""What a subscriber needs is lost and comes back; it is suspended and wakes up among successors: still once each."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from eventlog import topic_admin
from eventlog.settings import Settings
from local_stack import preparing
from local_stack.kafka import Kafka
from local_stack.postgres import Postgres
from tests.kit.subscribers import PublicTopics, Subscriber, placed
from tests.kit.worlds import eventually, own_kafka, own_postgres
from tests.subscribers.echo import ECHO, TABLES
from tests.subscribers.test_runner import MODULE, execute, noted


@pytest.fixture
def kafka(settings: Settings, tmp_path: Path) -> Iterator[tuple[Kafka, Settings]]:
    with own_kafka(settings, tmp_path) as kafka:
        yield kafka


@pytest.fixture
def postgres(settings: Settings, tmp_path: Path) -> Iterator[tuple[Postgres, Settings]]:
    with own_postgres(settings, tmp_path) as postgres:
        yield postgres


async def prepared(settings: Settings) -> PublicTopics:
    await preparing.prepare(settings)
    await topic_admin.apply(settings, [ECHO.dead_letters])
    execute(settings, TABLES)
    return PublicTopics(settings)


async def not_ready(subscriber: Subscriber, because: str) -> bool:
    async with httpx.AsyncClient(base_url=subscriber.url) as client:
        answer = await client.get("/readyz")
    return answer.status_code == 503 and because in answer.json()["reason"]


async def answered_once(topics: PublicTopics, settings: Settings, sent: set[str], subscriber: Subscriber) -> None:
    await eventually(lambda: len(topics.counts("inventory.reserved")) >= len(sent), subscriber)
    assert topics.counts("inventory.reserved") == {f"echo:{event_id}": 1 for event_id in sent}
    assert sorted(noted(settings)) == sorted(sent)


def send(topics: PublicTopics, count: int) -> set[str]:
    return {message.event_id for message in topics.publish(*(placed(uuid4()) for _ in range(count)))}


async def test_the_broker_is_killed_under_load(kafka: tuple[Kafka, Settings], tmp_path: Path) -> None:
    broker, settings = kafka
    topics = await prepared(settings)
    subscriber = Subscriber(settings, tmp_path / "echo.log", "echo", MODULE)
    subscriber.start()
    try:
        sent = send(topics, 500)
        await eventually(lambda: len(noted(settings)) > 0, subscriber)
        broker.kill()
        await eventually(lambda: not_ready(subscriber, "Kafka"), subscriber)
        broker.start()
        sent |= send(topics, 500)
        await answered_once(topics, settings, sent, subscriber)
        await eventually(subscriber.is_ready, subscriber)
    finally:
        subscriber.stop()


async def test_postgres_is_killed_under_load_and_nothing_is_parked_for_that(
    postgres: tuple[Postgres, Settings], tmp_path: Path
) -> None:
    server, settings = postgres
    topics = await prepared(settings)
    subscriber = Subscriber(settings, tmp_path / "echo.log", "echo", MODULE)
    subscriber.start()
    try:
        sent = send(topics, 500)
        await eventually(lambda: len(noted(settings)) > 0, subscriber)
        server.kill()
        sent |= send(topics, 500)
        await eventually(lambda: not_ready(subscriber, "Postgres"), subscriber)
        server.start()
        await answered_once(topics, settings, sent, subscriber)
        assert execute(settings, "SELECT count(*) FROM subscribers.parked") == [(0,)]
    finally:
        subscriber.stop()


async def test_one_that_was_suspended_is_refused_by_the_broker_when_it_wakes_up(
    echo: PublicTopics, settings: Settings, tmp_path: Path
) -> None:
    first, second = (Subscriber(settings, tmp_path / f"echo-{n}.log", "echo", MODULE) for n in range(2))
    first.start()
    try:
        sent = send(echo, 1_000)
        await eventually(lambda: len(noted(settings)) > 0, first)
        first.signal(signal.SIGSTOP)  # in the middle of whatever it does
        sent |= send(echo, 200)
        second.start_only()  # and has partitions once the group has given the other up
        await eventually(lambda: len(noted(settings)) >= len(sent), second)
        first.signal(signal.SIGCONT)
        sent |= send(echo, 200)
        await answered_once(echo, settings, sent, second)
        await eventually(first.is_ready, first)
    finally:
        first.signal(signal.SIGCONT)
        first.stop()
        second.stop()


async def test_one_whose_kafka_client_hangs_ends_and_the_next_goes_on(
    echo: PublicTopics, settings: Settings, tmp_path: Path
) -> None:
    hanging = Subscriber(settings, tmp_path / "hanging.log", "echo", "tests.subscribers.hanging")
    sent = send(echo, 10)
    hanging.start_only()
    try:
        assert await asyncio.to_thread(hanging.wait, 60) == 1
    finally:
        hanging.kill()
    (said,) = hanging.logged("subscriber_stopped")
    assert "has not returned from a call" in said["reason"]
    subscriber = Subscriber(settings, tmp_path / "echo.log", "echo", MODULE)
    subscriber.start_only()
    try:
        await answered_once(echo, settings, sent, subscriber)
    finally:
        subscriber.stop()
