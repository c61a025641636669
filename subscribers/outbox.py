"""What a subscriber still has to do to the outside (a mail, a command), written down with what it follows from.

Rows are put in the transaction that takes an event in, so an effect is owed exactly when the event was taken. It is
carried out afterwards, at least once: a process may die between the effect and the note that it is done.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from service.database import Connection, storable

_PUT = """
    INSERT INTO subscribers.outbox (subscriber, id, event_id, order_id, what, due_at)
    VALUES (%s, %s, %s, %s, %s, coalesce(%s, now()))
    ON CONFLICT (subscriber, id) DO NOTHING
"""
_WITHDRAW = "DELETE FROM subscribers.outbox WHERE subscriber = %s AND id = ANY(%s) AND state = 'waiting'"
# Whoever claims a task has so long to carry it out; then it is anybody's again. Claims are committed at once: no
# transaction is open while a server is waited for.
_CLAIM = """
    UPDATE subscribers.outbox SET due_at = now() + %(lease)s * interval '1 second'
    WHERE subscriber = %(subscriber)s AND id IN (
        SELECT id FROM subscribers.outbox
        WHERE subscriber = %(subscriber)s AND state = 'waiting' AND due_at <= now()
        ORDER BY due_at LIMIT %(most)s FOR UPDATE SKIP LOCKED)
    RETURNING id, event_id, order_id, what, attempts
"""
_NEXT_DUE = """
    SELECT extract(epoch FROM min(due_at) - now()) FROM subscribers.outbox
    WHERE subscriber = %s AND state = 'waiting'
"""
_COUNT_DUE = """
    SELECT count(*) FROM (SELECT FROM subscribers.outbox
        WHERE subscriber = %s AND state = 'waiting' AND due_at <= now() LIMIT %s) AS due
"""
_SETTLE = """
    UPDATE subscribers.outbox
    SET state = %(state)s, reason = %(reason)s, attempts = %(attempts)s,
        due_at = now() + %(after)s * interval '1 second', settled_at = CASE WHEN %(state)s <> 'waiting' THEN now() END
    WHERE subscriber = %(subscriber)s AND id = %(id)s AND state = 'waiting'
"""
_PRUNE = """
    DELETE FROM subscribers.outbox WHERE subscriber = %(name)s AND id IN (
        SELECT id FROM subscribers.outbox
        WHERE subscriber = %(name)s AND settled_at < now() - %(keep)s * interval '1 second' AND state <> 'dead'
        LIMIT %(most)s)
"""


class Task(NamedTuple):
    """One thing to do. `id` names it for good: put twice, it is done once. It follows from the event `event_id`.

    `due_at` is when, None for at once. `attempts` is how often it failed by its own fault.
    """

    id: str
    event_id: str
    order_id: UUID
    what: dict[str, Any]
    due_at: datetime | None = None
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """It is done, or there is nothing to do any more; `reason` says why."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Later:
    """It failed, perhaps by its own fault: again in a while, but not for ever."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """What it needs is not there: no task can be done now. Again for as long as it takes."""

    reason: str


@dataclass(frozen=True, slots=True)
class Dead:
    """It can never be done: a dead letter."""

    reason: str


Outcome = Done | Later | Unavailable | Dead
Perform = Callable[[Task], Awaitable[Outcome]]


async def put(connection: Connection, subscriber: str, tasks: Sequence[Task]) -> None:
    """Write down `tasks`, those that are not known yet."""
    async with connection.cursor() as cursor:
        rows = [(subscriber, task.id, task.event_id, task.order_id, Jsonb(task.what), task.due_at) for task in tasks]
        await cursor.executemany(_PUT, rows)


async def withdraw(connection: Connection, subscriber: str, ids: Sequence[str]) -> None:
    """Take back those of the tasks `ids` that are still waiting."""
    await connection.execute(_WITHDRAW, [subscriber, list(ids)])


async def claim(connection: Connection, subscriber: str, most: int, lease_s: float) -> list[Task]:
    """At most `most` tasks that are due, for this process alone for `lease_s` seconds."""
    async with connection.cursor(row_factory=class_row(Task)) as cursor:
        await cursor.execute(_CLAIM, {"subscriber": subscriber, "most": most, "lease": lease_s})
        return await cursor.fetchall()


async def settle(connection: Connection, subscriber: str, task: Task, outcome: Outcome, attempts: int) -> str:
    """Note how a claimed task ended; its state now. One that failed `attempts` times is dead."""
    failed = task.attempts + isinstance(outcome, Later | Dead)
    match outcome:
        case Done():
            state = "done"
        case Later() if failed < attempts:
            state = "waiting"
        case Unavailable():
            state = "waiting"
        case _:
            state = "dead"
    after = pause_s(failed) if isinstance(outcome, Later) else 0.0
    noted = {"state": state, "reason": storable(outcome.reason), "attempts": failed, "after": after}
    await connection.execute(_SETTLE, {"subscriber": subscriber, "id": task.id, **noted})
    return state


async def count_due(connection: Connection, subscriber: str, most: int) -> int:
    """How many tasks wait that are due, counted up to `most`."""
    return int((await (await connection.execute(_COUNT_DUE, [subscriber, most])).fetchall())[0][0])


async def prune(connection: Connection, subscriber: str, keep_s: float, most: int) -> int:
    """Forget at most `most` tasks that were done over `keep_s` seconds ago; how many there were."""
    return (await connection.execute(_PRUNE, {"name": subscriber, "keep": keep_s, "most": most})).rowcount


async def next_due_s(connection: Connection, subscriber: str) -> float | None:
    """In how many seconds the next task is due, negative if it is; None when there is none."""
    found = (await (await connection.execute(_NEXT_DUE, [subscriber])).fetchall())[0][0]
    return None if found is None else float(found)


def pause_s(failed: int) -> float:
    """How long a task waits that failed so often: 1 s, 2 s, 4 s, … at most an hour."""
    return float(min(2 ** (failed - 1), 3600))
