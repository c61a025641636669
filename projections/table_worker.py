"""The Faust worker of a view in tables: each batch into the changelog, then into RocksDB."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import structlog

from eventlog.fencing import Fenced, OutcomeUnknown
from eventlog.recorded import KafkaRecord
from eventlog.settings import Settings
from projections.announcing import Announcer
from projections.changelog import Changelog, Tenure
from projections.checkpoints import Applied, read_positions
from projections.fenced_table import FencedTable, place_row
from projections.generations import Generation
from projections.metrics import Metrics
from projections.parking import ToPark, first_reason, park
from projections.parking_tables import Folded, Folding
from projections.schema_lookup import SchemaLookup
from projections.table_view import TableView, Write
from projections.worker import Worker
from schemas.codec import Codec
from schemas.errors import Explained
from service.database import Database, connect
from service.stopping import stop_at_once

log = structlog.get_logger()

_MOST_RECORDS = 10_000  # of a batch are applied at once, so that requests and heartbeats get their turn
_TAKE_OVER_S = 60.0
_PATIENCE_S = 3.0

T = TypeVar("T")


class NotServed(Explained):
    """The partition is another worker's, or this one is not ready to write it out of turn."""


class TableWorker(Worker):
    """The worker of a view in a table. Set `table` and its `changelog` before the app starts.

    It writes a partition between `take_over` and `let_go`, and reads it once RocksDB is level with the changelog.
    `on_parked` is called after events were set aside.
    """

    table: FencedTable
    changelog: Changelog

    def __init__(
        self,
        settings: Settings,
        codec: Codec,
        schemas: SchemaLookup,
        view: TableView,
        generation: Generation,
        metrics: Metrics,
        announcer: Announcer,
        on_parked: Callable[[], None],
    ) -> None:
        super().__init__(settings, schemas, metrics)
        self._announcer = announcer
        self._on_parked = on_parked
        self._database = Database(settings.postgres_url)
        self._turns: dict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._whole_from: Mapping[int, int] = {}
        self._codec = codec
        self._view = view
        self.generation = generation
        self._tenures: dict[int, Tenure] = {}
        self._resources = AsyncExitStack()
        self._open = False

    def let_go(self) -> None:
        """From now on write nothing, and show nothing: see Keeper and Worker."""
        self._tenures = {}
        self._whole_from = {}

    async def take_over(self, partitions: set[int]) -> None:
        """Shut out every other writer of `partitions`: see Keeper. Ends the process when that cannot be done."""
        self.let_go()
        try:
            async with asyncio.timeout(_TAKE_OVER_S):
                if not self._open:
                    await self._resources.enter_async_context(self.changelog)
                    await self._resources.enter_async_context(self._announcer)
                    self._open = True
                elections = [self.changelog.elect(partition, self._announcer.url) for partition in partitions]
                tenures = await asyncio.gather(*elections)
        except TimeoutError:
            stop_at_once("projection_stopped", reason=f"Kafka did not let us write within {_TAKE_OVER_S:.0f} s")
        except Fenced:
            stop_at_once("projection_stopped", reason="another worker was elected at the same moment")
        except OutcomeUnknown as error:
            stop_at_once("projection_stopped", reason=f"the changelog was not written: {error}")
        self._tenures = {tenure.partition: tenure for tenure in tenures}

    async def apply_once(self, records: Mapping[int, Sequence[KafkaRecord]]) -> Mapping[int, Applied]:
        """See Worker."""
        applied = {partition: await self._apply(partition, some) for partition, some in records.items()}
        return {partition: one for partition, one in applied.items() if one}

    def at_rest(self, partition: int) -> Folding:
        """The partition as it is between two batches."""
        place, holds = self.table.place(partition), self.table.holds(partition)
        return Folding(self._codec, self._view, partition, place, holds, lambda keys: self.table.get(partition, keys))

    @asynccontextmanager
    async def between_batches(self, partition: int) -> AsyncIterator[Tenure]:
        """Keep batches out of the partition while this is entered, which may then be written. Raises NotServed.

        Not before the log was read as far as it went when the partition was assigned: a batch may have been cut off
        by a crash, and what of it is in the sums counts once only while nothing else changes what it is applied to.
        """
        async with self._turns[partition]:
            tenure, whole_from = self._owned(partition), self._whole_from.get(partition)
            if tenure is None:
                raise NotServed(f"this worker does not serve partition {partition}, or not yet")
            if whole_from is None or self.table.place(partition).next_offset < whole_from:
                raise NotServed(f"this worker still catches up with partition {partition}: try again when it has")
            yield tenure

    async def read_starts(self, beginnings: Mapping[int, int], ends: Mapping[int, int]) -> Mapping[int, int]:
        """See Worker."""
        starts = await super().read_starts(beginnings, ends)
        self._whole_from = dict(ends)
        return starts

    async def positions(self) -> Mapping[int, int]:
        """See Worker. Partitions that are not level with their changelog have none."""
        places = {partition: self.table.place(partition) for partition in self._tenures if self._owned(partition)}
        self.metrics.parked_orders.put(sum(len(self.table.holds(partition)) for partition in places))
        for partition, place in places.items():
            self._announcer.serves(partition, self._tenures[partition].mandate, place)
        return {partition: place.next_offset for partition, place in places.items()}

    async def reached(self) -> Mapping[int, int]:
        """See Worker. What others have is known from Postgres, and asked for only by a worker that has nothing."""
        if self._tenures:
            return await self.positions()
        async with await connect(self.settings.postgres_url) as connection:
            return await read_positions(connection, self.generation)

    def rows(
        self, partitions: Sequence[int], first: bytes, end: bytes
    ) -> Mapping[int, tuple[int, Iterator[Write]]] | None:
        """{partition: (next offset, rows)} as they are at this moment; None unless all of them can be read here."""
        if not all(self._owned(partition) for partition in partitions):
            return None
        return {p: (self.table.place(p).next_offset, self.table.rows(p, first, end)) for p in partitions}

    async def close(self) -> None:
        """See Worker."""
        self.let_go()
        await self._resources.aclose()
        await self._database.close()

    async def _apply(self, partition: int, records: Sequence[KafkaRecord]) -> Applied | None:
        applied, deposed, parked = 0, 0, list[ToPark]()
        for start in range(0, len(records), _MOST_RECORDS):
            async with self._turns[partition]:
                tenure = self._owned(partition)
                if tenure is None:
                    return None
                folded = self.at_rest(partition).fold(
                    records[start : start + _MOST_RECORDS], self.settings.max_parked_orders
                )
                if folded.new.records and not await self._take(tenure, folded):
                    return None
            applied, deposed = applied + folded.new.records, deposed + folded.new.deposed
            parked += folded.parked
        return Applied(self.table.place(partition).next_offset, applied, deposed, len(parked), first_reason(parked))

    def _owned(self, partition: int) -> Tenure | None:
        """The right to write the partition, if it is ours and RocksDB has all of its changelog."""
        tenure = self._tenures.get(partition)
        return tenure if tenure and self.table.recovered_to(partition) >= tenure.barrier else None

    async def _take(self, tenure: Tenure, folded: Folded) -> bool:
        """Write what a batch comes to; False when the partition was taken from us meanwhile."""
        if folded.parked:
            # First: what the table says is parked must be there, and the other way round a redrive sets it right.
            work = self._park(tenure.partition, folded.parked)
            await self._patiently(work, "Postgres does not take what is to be parked")
        after = folded.new.after
        if not await self.write(tenure, [*folded.rows, place_row(after.next_offset - 1, after)]):
            return False
        self._announcer.serves(tenure.partition, tenure.mandate, after)
        return True

    async def _park(self, partition: int, parked: Sequence[ToPark]) -> None:
        async with self._database.connection() as connection, connection.transaction():
            await park(connection, self.generation, partition, parked, once_more=True)
        log.error("events_parked", partition=partition, count=len(parked), reason=first_reason(parked))
        self._on_parked()

    async def write(self, tenure: Tenure, rows: Sequence[Write], *, whole: bool = False) -> bool:
        """Write `rows`, if `whole` at once or not at all; False when the partition was taken from us meanwhile.

        In its turn only: from `apply_once`, or `between_batches`. Raises TooLarge.
        """
        append = self.changelog.append_whole if whole else self.changelog.append
        try:
            reached = await self._patiently(append(tenure, rows), "Kafka does not take the table's rows")
        except Fenced as fenced:
            if self.is_current(tenure):
                stop_at_once("projection_stopped", reason=f"{fenced}, while this one thought it did")
            return False
        if not self.is_current(tenure):
            return False  # who has it now, finds it in the changelog
        self.table.write(tenure.partition, rows, reached)
        return True

    def is_current(self, tenure: Tenure) -> bool:
        """Whether the partition was not given to another since."""
        return self._tenures.get(tenure.partition) is tenure

    async def _patiently(self, work: Awaitable[T], reason: str) -> T:
        """Wait for `work`, and say `reason` when it takes long."""
        task = asyncio.ensure_future(work)
        try:
            while True:
                done, _ = await asyncio.wait({task}, timeout=_PATIENCE_S)
                if done:
                    self.waiting_for = None
                    return task.result()
                self.waiting_for = reason
                log.warning("projection_waits", reason=self.waiting_for)
        finally:
            task.cancel()
