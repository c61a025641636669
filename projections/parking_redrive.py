"""Redrive and discard: apply parked events once the cause is gone, or give them up on purpose.

Each order in one transaction, under the lock that the live worker takes: no batch of the order's partition comes
in between, so what follows live finds the order either parked or level. Killed anywhere, it is as if not begun.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import psycopg

from eventlog.recorded import RecordedEvent, from_headers, read_record
from eventlog.settings import Settings
from projections.checkpoints import announce, lock
from projections.generations import Generation
from projections.parking import Failure, is_park
from projections.parking_isolation import apply_in_turn, attempt
from projections.parking_records import Held, ParkedEvent, Selection, select_groups, select_held
from projections.publishing import Outbox, Publisher
from projections.view import Publishes, View
from schemas.codec import Codec
from schemas.errors import BadInput
from schemas.publish import load_codec
from schemas.registry import Registry
from service.database import Connection, connect
from service.schema_lookup import SchemaLookup

_RESOLVE = """
    UPDATE orderlog.parked_events SET state = %s, resolved_at = now()
    WHERE generation = %s AND partition = %s AND "offset" = ANY(%s)
"""
_FAILED_AGAIN = """
    UPDATE orderlog.parked_events
    SET state = 'failed', attempts = attempts + 1, reason = %s, traceback = %s, tried_at = now()
    WHERE generation = %s AND partition = %s AND "offset" = %s
"""


class DiscardRefused(BadInput):
    """To discard it would leave its order behind for good; the message says why and how to insist."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one order, or of one record that names none.

    `applied` and `discarded` events are parked no more, `left` still are; `reason` is why.
    """

    held: Held
    applied: int = 0
    discarded: int = 0
    left: int = 0
    reason: str | None = None


@asynccontextmanager
async def open_parking(settings: Settings, views: dict[str, View]) -> "AsyncIterator[Parking]":
    """What is parked of `views`, to be worked on. Raises NotRegistered, RegistryUnavailable, psycopg.Error."""
    schemas = SchemaLookup(Registry(settings.registry_url).schema)
    codec = await asyncio.to_thread(load_codec, settings.registry_url, settings.topic_prefix, lookup=schemas)
    topics = [topic for view in views.values() if isinstance(view, Publishes) for topic in view.publishes]
    publisher = await Publisher.load(settings, topics) if topics else None
    try:
        async with await connect(settings.postgres_url) as connection:
            yield Parking(connection, codec, schemas, views, publisher)
    finally:
        if publisher:
            await publisher.close()


class Parking:
    """Parked events of `views`, worked on over one connection, published by `publisher`. For one task at a time."""

    def __init__(
        self,
        connection: Connection,
        codec: Codec,
        schemas: SchemaLookup,
        views: dict[str, View],
        publisher: Publisher | None = None,
    ) -> None:
        self._connection = connection
        self._codec = codec
        self._schemas = schemas
        self._views = views
        self._publisher = publisher

    async def redrive(self, selection: Selection, *, dry_run: bool = False) -> list[Outcome]:
        """Apply what is parked of `selection`, each order in sequence, as far as it goes.

        Of a position: its order's events up to that one. A `dry_run` does all of it, and takes it back. Raises
        NotParked, psycopg.Error, RegistryUnavailable, NotPublished; orders that were done before stay done.
        """
        until = selection.position.offset if selection.position else None
        outcomes = []
        for held in await select_groups(self._connection, selection):
            outcomes.append(await self._schemas.around(partial(self._redrive, held, until, dry_run)))
        return outcomes

    async def discard(self, selection: Selection, *, force: bool = False, dry_run: bool = False) -> list[Outcome]:
        """Give up what is parked of `selection`, and apply what waited behind it.

        Raises as `redrive` does, and DiscardRefused: an event with a version is part of its order's history, and
        without it no later one can be applied. `force` discards it all the same; its order then stays parked, or is
        parked again at its next event.
        """
        at = selection.position.offset if selection.position else None
        outcomes = []
        for held in await select_groups(self._connection, selection):
            outcomes.append(await self._schemas.around(partial(self._discard, held, at, force, dry_run)))
        return outcomes

    async def _redrive(self, held: Held, until: int | None, dry_run: bool) -> Outcome:
        async with self._connection.transaction():
            rows = await self._lock(held)
            chosen = [row for row in rows if until is None or row.offset <= until]
            outbox = Outbox(self._publisher)
            failure = await self._apply(held, chosen, outbox, partly=True)
            done = [row for row in chosen if failure is None or row.offset < failure.offset]
            await settle(self._connection, held, "redriven", done, failure)
            if dry_run:
                raise psycopg.Rollback
            await outbox.send(self._connection)
        return Outcome(held, len(done), 0, len(rows) - len(done), failure.reason if failure else None)

    async def _discard(self, held: Held, at: int | None, force: bool, dry_run: bool) -> Outcome:
        async with self._connection.transaction():
            rows = await self._lock(held)
            given_up = [row for row in rows if at is None or row.offset == at]
            behind = [row for row in rows if row not in given_up]
            outbox = Outbox(self._publisher)
            failure = await self._apply(held, behind, outbox, partly=False)
            if not force and (why := still_needed(held, given_up, behind, failure)):
                raise DiscardRefused(f"{why}; --force discards it all the same")
            await settle(self._connection, held, "discarded", given_up, failure)
            await settle(self._connection, held, "redriven", [] if failure else behind, None)
            if dry_run:
                raise psycopg.Rollback
            await outbox.send(self._connection)
        left = len(behind) if failure else 0
        return Outcome(held, len(behind) - left, len(given_up), left, failure.reason if failure else None)

    async def _lock(self, held: Held) -> list[ParkedEvent]:
        """What is parked of `held`, none if somebody else was quicker, while no batch of its partition is applied."""
        await lock(self._connection, _generation(held), [held.partition])
        await self._require_version(held)
        return await select_held(self._connection, held)

    async def _require_version(self, held: Held) -> None:
        query = "SELECT version FROM orderlog.generations WHERE generation = %s"
        row = await (await self._connection.execute(query, [held.generation])).fetchone()
        view = self._views.get(held.projection)
        if view is None or row is None or row[0] != view.version:
            made = f"version {row[0]}" if row else "none"
            raise BadInput(
                f"generation {held.generation} of {held.projection} was made by {made} of its code, not ours"
            )

    async def _apply(self, held: Held, rows: Sequence[ParkedEvent], outbox: Outbox, *, partly: bool) -> Failure | None:
        """Apply the events of `rows`, or, if `partly`, those before the first that fails, which is returned.

        What is then to be published comes into the `outbox`.
        """
        view, schema = self._views[held.projection], _generation(held).schema
        events, unreadable = self._read(rows)
        handled = [recorded for recorded in events if type(recorded.event) in view.handles]
        if not handled or (unreadable and not partly):
            return unreadable
        error = await attempt(self._connection, view, schema, handled, outbox)
        if error is None:
            return unreadable
        if not partly:
            return Failure(handled[0].position.offset, error)
        return await apply_in_turn(self._connection, view, schema, handled, outbox) or unreadable

    def _read(self, rows: Sequence[ParkedEvent]) -> tuple[list[RecordedEvent], Failure | None]:
        """The events of `rows` up to the first that cannot be read, and that one."""
        events: list[RecordedEvent] = []
        for row in rows:
            try:
                events.append(read_record(self._codec, row.partition, row))
            except Exception as error:
                if not is_park(error):
                    raise
                return events, Failure(row.offset, error)
        return events, None


async def settle(
    connection: Connection, held: Held, state: str, done: Sequence[ParkedEvent], failure: Failure | None
) -> None:
    """Say that `done` are parked no more but in `state`, and that `failure` failed once more."""
    place = (held.generation, held.partition)
    await connection.execute(_RESOLVE, [state, *place, [row.offset for row in done]])
    await announce(connection, _generation(held), held.partition)
    if failure:
        values = [failure.reason, failure.traceback, *place, failure.offset]
        await connection.execute(_FAILED_AGAIN, values)


def still_needed(
    held: Held, given_up: Sequence[ParkedEvent], behind: Sequence[ParkedEvent], failure: Failure | None
) -> str | None:
    """Why `given_up` cannot be done without, None when it can."""
    if failure:
        return f"without it, what waits behind it of {held} cannot be applied ({failure.reason})"
    versions = [version for row in given_up if held.order_id and (version := _version(row))]
    if behind or not versions:
        return None
    return f"version {versions[-1]} is part of the history of {held}: no later event of it could be applied"


def _version(row: ParkedEvent) -> int | None:
    try:
        return from_headers(row.headers).version
    except (ValueError, AttributeError):
        return None


def _generation(held: Held) -> Generation:
    return Generation(held.projection, held.generation)
