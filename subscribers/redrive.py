"""Redrive and discard of what a subscriber could not do, from outside of its process.

An order's messages are handled in one transaction, under a lock that keeps the subscriber from taking any in
meanwhile. Answers are noted, and the subscriber's process publishes them: at least once, always under the same id.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import psycopg

from eventlog.settings import Settings
from schemas.public_codec import PublicCodec
from schemas.publish import load_public_codec
from schemas.registry import Registry
from service.database import Connection, connect
from service.schema_lookup import SchemaLookup
from subscribers import inbox, parking
from subscribers.deliveries import Opened, open_delivery
from subscribers.failures import is_fault
from subscribers.inbox import Taken
from subscribers.parked_records import DeadTask, NothingParked, ParkedMessage, Which, select_messages, select_tasks
from subscribers.subscription import Subscription
from subscribers.taking import handle

_RESOLVE = "UPDATE subscribers.parked SET state = %s, resolved_at = now() WHERE sequence = ANY(%s)"
_FAILED_AGAIN = """
    UPDATE subscribers.parked SET state = 'failed', attempts = attempts + 1, reason = %s, traceback = %s
    WHERE sequence = %s
"""
_REVIVE = """
    UPDATE subscribers.outbox SET state = 'waiting', attempts = 0, due_at = now(), settled_at = NULL
    WHERE subscriber = %s AND id = %s AND state = 'dead'
"""
_BURY = "UPDATE subscribers.outbox SET state = 'discarded' WHERE subscriber = %s AND id = %s AND state = 'dead'"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one order's messages, of one record that names no order, or of one task, which `what` names.

    `applied` and `discarded` ones are parked no more, `left` still are; `reason` is why. An applied task is one that
    is tried again.
    """

    subscriber: str
    what: str
    applied: int = 0
    discarded: int = 0
    left: int = 0
    reason: str | None = None


@asynccontextmanager
async def open_dead_letters(
    settings: Settings, subscriptions: Mapping[str, Subscription]
) -> "AsyncIterator[DeadLetters]":
    """What `subscriptions` have parked, to be worked on. Raises NotRegistered, RegistryUnavailable, psycopg.Error."""
    schemas = SchemaLookup(Registry(settings.registry_url).schema)
    codec = await asyncio.to_thread(load_public_codec, settings.registry_url, settings.topic_prefix, lookup=schemas)
    async with await connect(settings.postgres_url) as connection:
        yield DeadLetters(settings, connection, codec, schemas, subscriptions)


class DeadLetters:
    """Parked messages and dead tasks of `subscriptions`, worked on over one connection. For one task at a time."""

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        codec: PublicCodec,
        schemas: SchemaLookup,
        subscriptions: Mapping[str, Subscription],
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._codec = codec
        self._schemas = schemas
        self._subscriptions = subscriptions

    async def redrive(self, which: Which, *, dry_run: bool = False) -> list[Outcome]:
        """Handle what is parked of `which`, each order in sequence, as far as it goes; have its dead tasks tried again.

        Of an event: those of its order up to that one. A `dry_run` does all of it, and takes it back. Raises
        NothingParked, psycopg.Error, RegistryUnavailable; orders that were done before stay done.
        """
        messages, tasks = await self._select(which)
        outcomes = [await self._task(_REVIVE, task, Outcome(task.subscriber, task.id, 1), dry_run) for task in tasks]
        for one in _of_each_order(messages):
            outcomes.append(await self._schemas.around(partial(self._redrive, one, which.event_id, dry_run)))
        return outcomes

    async def discard(self, which: Which, *, dry_run: bool = False) -> list[Outcome]:
        """Give `which` up for good, and handle what waited behind it. Raises as `redrive` does."""
        messages, tasks = await self._select(which)
        outcomes = [await self._task(_BURY, task, Outcome(task.subscriber, task.id, 0, 1), dry_run) for task in tasks]
        for one in _of_each_order(messages):
            outcomes.append(await self._schemas.around(partial(self._discard, one, which.event_id, dry_run)))
        return outcomes

    async def _select(self, which: Which) -> tuple[list[ParkedMessage], list[DeadTask]]:
        messages = await select_messages(self._connection, which)
        tasks = await select_tasks(self._connection, which)
        if not messages and not tasks:
            raise NothingParked(f"{which} is not parked")
        return messages, tasks

    async def _task(self, statement: str, task: DeadTask, outcome: Outcome, dry_run: bool) -> Outcome:
        async with self._connection.transaction(force_rollback=dry_run):
            await self._connection.execute(statement.encode(), [task.subscriber, task.id])
        return outcome

    async def _redrive(self, one: ParkedMessage, until: str | None, dry_run: bool) -> Outcome:
        async with self._connection.transaction():
            rows = await self._lock(one)
            ids = [row.event_id for row in rows]
            chosen = rows[: ids.index(until) + 1] if until in ids else rows
            done, reason = await self._handle(chosen)
            await self._connection.execute(_RESOLVE, ["redriven", [row.sequence for row in chosen[:done]]])
            if dry_run:
                raise psycopg.Rollback
        return Outcome(one.subscriber, _what(one), done, 0, len(rows) - done, reason)

    async def _discard(self, one: ParkedMessage, event_id: str | None, dry_run: bool) -> Outcome:
        async with self._connection.transaction():
            rows = await self._lock(one)
            given_up = [row for row in rows if event_id in (None, row.event_id)]
            behind = [row for row in rows if row not in given_up]
            await self._connection.execute(_RESOLVE, ["discarded", [row.sequence for row in given_up]])
            # Taken in, as far as a repeat of it is concerned.
            await inbox.enter(self._connection, one.subscriber, [Taken(row.delivery, None) for row in given_up])
            done, reason = await self._handle(behind)
            await self._connection.execute(_RESOLVE, ["redriven", [row.sequence for row in behind[:done]]])
            if dry_run:
                raise psycopg.Rollback
        return Outcome(one.subscriber, _what(one), done, len(given_up), len(behind) - done, reason)

    async def _lock(self, one: ParkedMessage) -> list[ParkedMessage]:
        """What is parked together with `one`, while its subscriber takes nothing in."""
        await parking.exclude(self._connection, one.subscriber)
        which = Which(one.subscriber, None if one.order_id else one.event_id, one.order_id)
        return await select_messages(self._connection, which)

    async def _handle(self, rows: Sequence[ParkedMessage]) -> tuple[int, str | None]:
        """Handle the messages of `rows` before the first that fails; how many those are, and why that one does."""
        for count, row in enumerate(rows):
            try:
                await self._handle_one(row.subscriber, open_delivery(self._codec, row.delivery))
            except Exception as error:
                if not is_fault(error):
                    raise
                again = parking.failed(row.delivery, error)
                await self._connection.execute(_FAILED_AGAIN, [again.reason, parking.trace(again), row.sequence])
                return count, again.reason
        return len(rows), None

    async def _handle_one(self, subscriber: str, opened: Opened) -> None:
        if opened.error:
            raise opened.error
        if await inbox.known(self._connection, subscriber, [opened.delivery]):
            return
        taken = await handle(self._connection, self._subscriptions[subscriber], [opened], self._settings)
        await inbox.enter(self._connection, subscriber, taken, unpublished=True)


def _of_each_order(messages: Sequence[ParkedMessage]) -> list[ParkedMessage]:
    """The first message of each order and subscriber, and each one that names no order."""
    firsts: dict[tuple[object, ...], ParkedMessage] = {}
    for one in messages:
        firsts.setdefault((one.subscriber, one.order_id or one.sequence), one)
    return list(firsts.values())


def _what(one: ParkedMessage) -> str:
    return f"order {one.order_id}" if one.order_id else f"the record {one.event_id}"
