"""What a subscriber parked is brought back, or given up: in sequence, once, with its answers published."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from cli.dlq import anywhere
from eventlog.settings import Settings
from schemas.public_events import OrderCancelled
from service.database import connect
from subscribers import outbox
from subscribers.outbox import Dead, Settled, Task
from subscribers.parked_records import NothingParked, Which
from subscribers.redrive import open_dead_letters
from tests.kit.subscribers import PublicTopics, Subscriber, placed, told_of
from tests.kit.worlds import eventually
from tests.subscribers.echo import ECHO, POISON
from tests.subscribers.test_runner import MODULE, noted, parked


@pytest.fixture
def subscriber(settings: Settings, tmp_path: Path) -> Iterator[Subscriber]:
    one = Subscriber(settings, tmp_path / "echo.log", "echo", MODULE)
    yield one
    one.stop()


async def poisoned(topics: PublicTopics, settings: Settings, subscriber: Subscriber) -> UUID:
    """An order of which placed has failed and cancelled waits behind it."""
    order = uuid4()
    subscriber.start()
    topics.publish(placed(order, ("TEA-1", POISON)))
    await eventually(lambda: parked(settings) == [(order, "failed")], subscriber)
    for so_many in (2, 3):  # the second is a repeat
        topics.publish(told_of(OrderCancelled, order, 2))
        await eventually(lambda: len(parked(settings)) == so_many, subscriber)  # noqa: B023
    return order


def mend(settings: Settings) -> None:
    with psycopg.connect(settings.postgres_url, autocommit=True) as connection:
        connection.execute("INSERT INTO echo.mended DEFAULT VALUES")


def still_parked(settings: Settings) -> list[tuple[Any, ...]]:
    with psycopg.connect(settings.postgres_url) as connection:
        query = "SELECT state, attempts FROM subscribers.parked WHERE state IN ('failed', 'behind') ORDER BY sequence"
        return connection.execute(query).fetchall()


async def test_a_redrive_brings_an_order_back_in_sequence_and_its_answer_is_published(
    echo: PublicTopics, settings: Settings, subscriber: Subscriber
) -> None:
    order = await poisoned(echo, settings, subscriber)
    async with open_dead_letters(settings, {"echo": ECHO}) as letters:
        (failed,) = await letters.redrive(Which("echo", None, order))
        assert (failed.applied, failed.left, failed.reason) == (0, 3, "RuntimeError: this order cannot be handled")
        assert still_parked(settings)[0] == ("failed", 2)
        mend(settings)
        (tried,) = await letters.redrive(Which("echo"), dry_run=True)
        assert (tried.applied, tried.left, noted(settings)) == (3, 0, [])
        (done,) = await letters.redrive(Which("echo"))
        assert (done.applied, done.left) == (3, 0)
        with pytest.raises(NothingParked):
            await letters.redrive(Which("echo"))
    assert noted(settings) == [f"{order}:1", f"{order}:2"]
    await eventually(lambda: echo.counts("inventory.reserved") == {f"echo:{order}:1": 1}, subscriber)
    echo.publish(told_of(OrderCancelled, order, 3))
    await eventually(lambda: len(noted(settings)) == 3, subscriber)


async def test_a_discarded_event_is_passed_over_and_what_waited_behind_it_is_handled(
    echo: PublicTopics, settings: Settings, subscriber: Subscriber
) -> None:
    order = await poisoned(echo, settings, subscriber)
    async with httpx.AsyncClient(base_url=subscriber.url) as client:
        listed = (await client.get("/parked")).json()["parked"]
        assert (listed[0]["event_id"], listed[0]["state"]) == (f"{order}:1", "failed")
        refused = await client.post("/parked/discard", json={"all": True, "order_id": str(order)})
        assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
        missing = await client.post("/parked/discard", json={"event_id": "nothing"})
        assert missing.status_code == 404
        answer = await client.post("/parked/discard", json={"event_id": f"{order}:1"})
    (outcome,) = answer.json()["outcomes"]
    assert (outcome["discarded"], outcome["applied"], outcome["left"]) == (1, 2, 0)
    assert noted(settings) == [f"{order}:2"]
    echo.publish(placed(order, ("TEA-1", POISON)))  # a repeat of what was given up
    echo.publish(told_of(OrderCancelled, order, 3))
    await eventually(lambda: noted(settings) == [f"{order}:2", f"{order}:3"], subscriber)
    assert still_parked(settings) == []


async def test_a_dead_task_is_listed_tried_again_and_given_up(echo: PublicTopics, settings: Settings) -> None:
    task = Task("mail:e1", "e1", uuid4(), {"kind": "confirmed"})

    async def die() -> None:
        async with await connect(settings.postgres_url) as connection:
            (claimed,) = await outbox.claim(connection, "echo", "test", 10, 60)
            await outbox.settle(connection, "echo", [Settled(claimed, Dead("no such address"), 3)])

    async with await connect(settings.postgres_url) as connection:
        await outbox.put(connection, "echo", [task, task])
    await die()
    async with open_dead_letters(settings, {"echo": ECHO}) as letters:
        (again,) = await letters.redrive(Which("echo", "e1"))
        assert (again.what, again.applied) == ("mail:e1", 1)
        await die()
        (gone,) = await letters.discard(Which(order_id=task.order_id))
        assert (gone.what, gone.discarded) == ("mail:e1", 1)
        with pytest.raises(NothingParked):
            await letters.redrive(Which("echo"))


async def test_the_command_line_finds_both_kinds(echo: PublicTopics, settings: Settings) -> None:
    async with await connect(settings.postgres_url) as connection:
        await outbox.put(connection, "email", [Task("mail:e1", "e1", uuid4(), {"kind": "confirmed"})])
        (claimed,) = await outbox.claim(connection, "email", "test", 10, 60)
        await outbox.settle(connection, "email", [Settled(claimed, Dead("no such address"), 3)])
    (found,) = await anywhere.parked(settings, anywhere.Asked(everything=True))
    assert found.reason == "no such address"
    (result,) = await anywhere.redrive(settings, anywhere.Asked("e1"), dry_run=True)
    assert result.sentence == "mail:e1 in email: 1 applied"
    assert json.dumps(result.shown)
