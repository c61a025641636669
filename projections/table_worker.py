"""The Faust worker of a view in tables: each batch into the changelog, then into RocksDB."""

import asyncio
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TypeVar

import structlog

from eventlog.fencing import Fenced, OutcomeUnknown
from eventlog.recorded import KafkaRecord
from eventlog.settings import Settings
from projections.announcing import Announcer
from projections.batches import New, new_facts
from projections.changelog import Changelog, Tenure
from projections.checkpoints import Applied, read_positions
from projections.database import connect
from projections.fenced_table import FencedTable, place_row
from projections.generations import Generation
from projections.metrics import Metrics
from projections.schema_lookup import SchemaLookup
from projections.stopping import stop_at_once
from projections.table_view import TableView, Write
from projections.worker import Worker
from schemas.codec import Codec

log = structlog.get_logger()

_MOST_RECORDS = 10_000  # of a batch are applied at once, so that requests and heartbeats get their turn
_TAKE_OVER_S = 60.0
_PATIENCE_S = 3.0

T = TypeVar("T")


class TableWorker(Worker):
    """The worker of a view in a table. Set `table` and its `changelog` before the app starts.

    It writes a partition between `take_over` and `let_go`, and reads it once RocksDB is level with the changelog.
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
    ) -> None:
        super().__init__(settings, schemas, metrics)
        self._announcer = announcer
        self._codec = codec
        self._view = view
        self.generation = generation
        self._tenures: dict[int, Tenure] = {}
        self._resources = AsyncExitStack()
        self._open = False

    def let_go(self) -> None:
        """From now on write nothing, and show nothing: see Keeper and Worker."""
        self._tenures = {}

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

    async def positions(self) -> Mapping[int, int]:
        """See Worker. Partitions that are not level with their changelog have none."""
        places = {partition: self.table.place(partition) for partition in self._tenures if self._owned(partition)}
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

    async def _apply(self, partition: int, records: Sequence[KafkaRecord]) -> Applied | None:
        applied, deposed = 0, 0
        for start in range(0, len(records), _MOST_RECORDS):
            tenure = self._owned(partition)
            if tenure is None:
                return None
            place, some = self.table.place(partition), records[start : start + _MOST_RECORDS]
            new = new_facts(self._codec, self._view.handles, partition, place, some)
            if new.records and not await self._write(tenure, new):
                return None
            applied, deposed = applied + new.records, deposed + new.deposed
        return Applied(self.table.place(partition).next_offset, applied, deposed)

    def _owned(self, partition: int) -> Tenure | None:
        """The right to write the partition, if it is ours and RocksDB has all of its changelog."""
        tenure = self._tenures.get(partition)
        return tenure if tenure and self.table.recovered_to(partition) >= tenure.barrier else None

    async def _write(self, tenure: Tenure, new: New) -> bool:
        """Write what `new` comes to; False when the partition was taken from us meanwhile."""
        partition = tenure.partition
        rows = self._view.fold(partition, lambda keys: self.table.get(partition, keys), new.facts)
        rows.append(place_row(new.after.next_offset - 1, new.after))
        try:
            reached = await self._patiently(self.changelog.append(tenure, rows))
        except Fenced as fenced:
            if self._is_current(tenure):
                stop_at_once("projection_stopped", reason=f"{fenced}, while this one thought it did")
            return False
        if not self._is_current(tenure):
            return False  # who has it now, finds it in the changelog
        self.table.write(partition, rows, reached)
        self._announcer.serves(partition, tenure.mandate, new.after)
        return True

    def _is_current(self, tenure: Tenure) -> bool:
        return self._tenures.get(tenure.partition) is tenure

    async def _patiently(self, work: Awaitable[T]) -> T:
        """Wait for `work`, and say so when it takes long."""
        task = asyncio.ensure_future(work)
        try:
            while True:
                done, _ = await asyncio.wait({task}, timeout=_PATIENCE_S)
                if done:
                    self.waiting_for = None
                    return task.result()
                self.waiting_for = "Kafka does not take the table's rows"
                log.warning("projection_waits", reason=self.waiting_for)
        finally:
            task.cancel()
