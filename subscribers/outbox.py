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
# transaction is open while a server is waited for. The array is made once; a subquery of IN may be run for each row,
# and then more is claimed than the limit says.
_CLAIM = """
    UPDATE subscribers.outbox SET due_at = now() + %(lease)s * interval '1 second', claimed_by = %(who)s
    WHERE subscriber = %(subscriber)s AND id = ANY(ARRAY(
        SELECT id FROM subscribers.outbox
        WHERE subscriber = %(subscriber)s AND state = 'waiting' AND due_at <= now()
        ORDER BY due_at LIMIT %(most)s FOR UPDATE SKIP LOCKED))
    RETURNING id, event_id, order_id, what, attempts
"""
_RELEASE = """
    UPDATE subscribers.outbox SET due_at = now(), claimed_by = NULL
    WHERE subscriber = %s AND claimed_by = %s AND state = 'waiting'
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
        due_at = now() + %(after)s * interval '1 second', claimed_by = NULL,
        settled_at = CASE WHEN %(state)s <> 'waiting' THEN now() END
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


@dataclass(frozen=True, slots=True)
class Settled:
    """How an attempt at a task ended; one that failed `attempts` times is dead."""

    task: Task
    outcome: Outcome
    attempts: int

    @property
    def failed(self) -> int:
        """How often it has failed by its own fault."""
        return self.task.attempts + isinstance(self.outcome, Later | Dead)

    @property
    def state(self) -> str:
        """The task's from now on."""
        match self.outcome:
            case Done():
                return "done"
            case Unavailable():
                return "waiting"
            case Later() if self.failed < self.attempts:
                return "waiting"
        return "dead"

    @property
    def how(self) -> str:
        """How it ended, in a word: done, later, unavailable, dead."""
        return "dead" if self.state == "dead" else type(self.outcome).__name__.lower()


Perform = Callable[[Task], Awaitable[Outcome]]


async def put(connection: Connection, subscriber: str, tasks: Sequence[Task]) -> None:
    """Write down `tasks`, those that are not known yet."""
    async with connection.cursor() as cursor:
        rows = [(subscriber, task.id, task.event_id, task.order_id, Jsonb(task.what), task.due_at) for task in tasks]
        await cursor.executemany(_PUT, rows)


async def withdraw(connection: Connection, subscriber: str, ids: Sequence[str]) -> None:
    """Take back those of the tasks `ids` that are still waiting."""
    await connection.execute(_WITHDRAW, [subscriber, list(ids)])


async def claim(connection: Connection, subscriber: str, who: str, most: int, lease_s: float) -> list[Task]:
    """At most `most` tasks that are due, for `who` alone for `lease_s` seconds."""
    async with connection.cursor(row_factory=class_row(Task)) as cursor:
        await cursor.execute(_CLAIM, {"subscriber": subscriber, "who": who, "most": most, "lease": lease_s})
        return await cursor.fetchall()


async def release(connection: Connection, subscriber: str, who: str) -> None:
    """What `who` claimed is due at once: it was killed, and has started again."""
    await connection.execute(_RELEASE, [subscriber, who])


async def settle(connection: Connection, subscriber: str, settled: Sequence[Settled]) -> None:
    """Note how claimed tasks ended, all at once."""
    rows = [
        {
            "subscriber": subscriber,
            "id": one.task.id,
            "state": one.state,
            "reason": storable(one.outcome.reason),
            "attempts": one.failed,
            "after": pause_s(one.failed) if isinstance(one.outcome, Later) else 0.0,
        }
        for one in settled
    ]
    async with connection.transaction(), connection.cursor() as cursor:
        await cursor.executemany(_SETTLE, rows)


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
