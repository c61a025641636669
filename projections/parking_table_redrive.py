"""Redrive and discard for a view in tables: by the worker that keeps them, between its batches.

What changes in the table goes out as one record batch, with the row that says what is held in it: killed anywhere, an
event is in the sums and held no more, or neither. The parked records in Postgres are settled behind it; where that was
cut off, the next redrive finds nothing of them held, and settles them alone.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import psycopg

from eventlog.recorded import Fact
from projections.batches import fact_of
from projections.changelog import Tenure
from projections.parking import Failure, is_park
from projections.parking_holds import Holds, holds_row
from projections.parking_records import Held, ParkedEvent, Selection, select_groups, select_held
from projections.parking_redrive import DiscardRefused, Outcome, settle, still_needed
from projections.schema_lookup import SchemaLookup
from projections.table_view import TableView
from projections.table_worker import NotServed, TableWorker
from schemas.codec import Codec
from service.database import Connection

_AT_ONCE = 200  # events: what they change must fit into one record batch
_ANSWER_S = 10.0  # batches wait meanwhile


class TableParking:
    """What `worker` has parked, worked on over one connection: see Parking for the contract.

    Raises NotServed besides, where the partition of an order is another worker's.
    """

    def __init__(
        self, connection: Connection, codec: Codec, schemas: SchemaLookup, view: TableView, worker: TableWorker
    ) -> None:
        self._connection = connection
        self._codec = codec
        self._schemas = schemas
        self._view = view
        self._worker = worker

    async def redrive(self, selection: Selection, *, dry_run: bool = False) -> list[Outcome]:
        """See Parking."""
        until = selection.position.offset if selection.position else None
        return [await self._whole(partial(self._redrive, held, until, dry_run)) for held in await self._held(selection)]

    async def discard(self, selection: Selection, *, force: bool = False, dry_run: bool = False) -> list[Outcome]:
        """See Parking."""
        at = selection.position.offset if selection.position else None
        return [
            await self._whole(partial(self._discard, held, at, force, dry_run)) for held in await self._held(selection)
        ]

    async def _whole(self, work: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """What `work` returns. It goes on when the client goes away: an append must not be cancelled halfway."""
        return await asyncio.shield(asyncio.ensure_future(self._schemas.around(work)))

    async def _held(self, selection: Selection) -> list[Held]:
        found = await select_groups(self._connection, selection)
        for partition in {held.partition for held in found}:
            async with self._worker.between_batches(partition):
                pass  # before anything is done, rather than in the middle
        return found

    async def _redrive(self, held: Held, until: int | None, dry_run: bool) -> Outcome:
        async with self._worker.between_batches(held.partition) as tenure:
            level, rows = await self._parked(held, tenure)
            chosen = [row for row in rows if until is None or row.offset <= until]
            facts, failure = self._read(chosen)
            failure = self._worker.at_rest(held.partition).first_failure(facts, late=True) or failure
            done = [row for row in chosen if failure is None or row.offset < failure.offset]
            if not dry_run:
                if done:
                    await self._apply(tenure, held, done, facts, [row for row in rows if row not in done])
                async with _answering():
                    await settle(self._connection, held, "redriven", [*level, *done], failure)
        return Outcome(held, len(done), 0, len(rows) - len(done), failure.reason if failure else None)

    async def _discard(self, held: Held, at: int | None, force: bool, dry_run: bool) -> Outcome:
        async with self._worker.between_batches(held.partition) as tenure:
            level, rows = await self._parked(held, tenure)
            given_up = [row for row in rows if at is None or row.offset == at]
            behind = [row for row in rows if row not in given_up]
            facts, failure = self._read(behind)
            failure = self._worker.at_rest(held.partition).first_failure(facts, late=True) or failure
            if rows and not force and (why := still_needed(held, given_up, behind, failure)):
                raise DiscardRefused(f"{why}; --force discards it all the same")
            if not dry_run:
                applied, left = ([], behind) if failure else (behind, [])
                if rows:
                    await self._apply(tenure, held, applied, facts, left)
                async with _answering():
                    gone = [row for row in level if at is None or row.offset == at]
                    await settle(self._connection, held, "discarded", [*given_up, *gone], failure)
                    others = [row for row in level if row not in gone]
                    await settle(self._connection, held, "redriven", [*applied, *others], None)
        left_over = len(behind) if failure else 0
        why_left = failure.reason if failure else None
        return Outcome(held, len(behind) - left_over, len(given_up), left_over, why_left)

    async def _parked(self, held: Held, tenure: Tenure) -> tuple[list[ParkedEvent], list[ParkedEvent]]:
        """The rows of `held` that only Postgres still has as parked, and those that the table waits for.

        What lies ahead of the table is neither: a batch that was to park it was cut off, and comes again.
        """
        async with _answering():
            rows = await select_held(self._connection, held)
        self._require(self._worker.is_current(tenure), held)
        at_rest = self._worker.at_rest(held.partition)
        rows = [row for row in rows if row.offset < at_rest.place.next_offset]
        since = _since(at_rest.holds, held)
        level = [row for row in rows if since is None or row.offset < since]
        return level, rows[len(level) :]

    def _read(self, rows: Sequence[ParkedEvent]) -> tuple[list[Fact], Failure | None]:
        """What the view is to fold of `rows` up to the first that cannot be read, and that one."""
        facts: list[Fact] = []
        for row in rows:
            try:
                fact = fact_of(self._codec, row.partition, row)
            except Exception as error:
                if not is_park(error):
                    raise
                return facts, Failure(row.offset, error)
            if type(fact.event) in self._view.handles:
                facts.append(fact)
        return facts, None

    async def _apply(
        self,
        tenure: Tenure,
        held: Held,
        rows: Sequence[ParkedEvent],
        facts: Sequence[Fact],
        left: Sequence[ParkedEvent],
    ) -> None:
        """Write what the `facts` of `rows` come to; from the first of `left` on, its order waits on."""
        offsets = [row.offset for row in rows]
        for start in range(0, max(len(offsets), 1), _AT_ONCE):
            some = offsets[start : start + _AT_ONCE]
            waiting = [*offsets[start + _AT_ONCE :], *(row.offset for row in left)]
            at_rest = self._worker.at_rest(held.partition)
            holds = _after(at_rest.holds, held, min(waiting, default=None))
            if holds == at_rest.holds:
                continue  # nothing of it is applied, or was held
            wanted = [fact for fact in facts if fact.offset in some]
            folded = self._view.fold(held.partition, at_rest.get, wanted, late=True)
            self._require(await self._worker.write(tenure, [*folded, holds_row(holds)], whole=True), held)

    def _require(self, still_ours: bool, held: Held) -> None:
        if not still_ours:
            raise NotServed(f"partition {held.partition} went to another worker meanwhile: try again")


def _since(holds: Holds, held: Held) -> int | None:
    """From which offset on `held` waits; None when it does not."""
    if held.order_id:
        return holds.orders.get(held.order_id)
    return held.offset if held.offset in holds.strays else None


def _after(holds: Holds, held: Held, since: int | None) -> Holds:
    """`holds` with `held` waiting from `since` on."""
    if _since(holds, held) is None:
        return holds
    if held.order_id:
        return holds.go_on(held.order_id, since)
    return holds.let_go(held.offset) if since is None else holds


@asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    """Ask Postgres something. Raises OperationalError when it takes too long."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            yield
    except TimeoutError as error:
        raise psycopg.OperationalError(f"Postgres did not answer for {_ANSWER_S:g} s") from error
