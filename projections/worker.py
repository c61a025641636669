"""The Faust worker of a view: batches from the log into the view, and what it does when something fails."""

import asyncio
import gc
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import structlog
from psycopg import OperationalError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, retry_if_exception_type, wait_exponential_jitter

from eventlog.positions import Position
from eventlog.recorded import KafkaRecord
from eventlog.settings import Settings
from projections.checkpoints import Applied, apply_batches, read_positions
from projections.failures import judge
from projections.generations import Generation
from projections.metrics import Metrics
from projections.parking import count_held
from projections.publishing import MOST_PUBLISHED, Publisher
from projections.read_ahead import MOST_RECORDS, Round, decoded_ahead
from projections.starting import PositionRefused, start_offsets
from projections.traced_records import begin
from projections.view import View
from schemas.codec import Codec
from service import tracing
from service.database import Database, connect
from service.schema_lookup import SchemaLookup
from service.stopping import stop_at_once
from service.verdicts import Retry

log = structlog.get_logger()

_OBJECTS = 5_000_000  # more than fetched and folded batches are made of, at some twenty a record
_COLLECT_AFTER = 1_000  # batches
_BACK_OFF = wait_exponential_jitter(multiplier=0.1, max=5, jitter=0.1)


class Worker(ABC):
    """Keeps one generation of a view up to date. Its methods are what ProjectionApp and its agent call.

    `waiting_for` says what a batch is held up by, None when nothing holds it up. `ages` are, by partition, how old
    the first record of the last batch was when it was applied, in seconds. `ends` is up to where the view is made,
    {partition: offset}, None for one that follows the log. `group` is its consumer group.
    """

    ends: Mapping[int, int] | None = None
    group = ""

    def __init__(self, settings: Settings, schemas: SchemaLookup, metrics: Metrics) -> None:
        self.settings = settings
        self.metrics = metrics
        self._schemas = schemas
        self.waiting_for: str | None = None
        self.ages: dict[int, float] = {}
        self._unknown: set[str] = set()

    @abstractmethod
    async def apply_once(self, records: Mapping[int, Sequence[KafkaRecord]]) -> Mapping[int, Applied]:
        """Apply `records`, {partition: consecutive ones}, exactly once; what is no longer ours to apply is left out.

        What it raises, `judge` judges.
        """

    @abstractmethod
    async def positions(self) -> Mapping[int, int]:
        """{partition: next offset} of the view. Raises psycopg.OperationalError while they cannot be read."""

    async def reached(self) -> Mapping[int, int]:
        """{partition: next offset} of the view for the watchdog, whoever moves it. Raises as `positions` does."""
        return await self.positions()

    @abstractmethod
    async def close(self) -> None:
        """Give back what batches needed."""

    def let_go(self) -> None:  # noqa: B027 - a view in Postgres has nothing to let go
        """A rebalance begins: whatever is assigned may go to another worker."""

    async def rounds(self, stream: Any) -> AsyncGenerator[Round, None]:
        """The batches of `stream`, in order, as they are to be applied together; here one by one."""
        async with aclosing(stream.noack().events()) as batches:
            async for batch in batches:
                yield Round([batch])

    async def follow(self, stream: Any) -> None:
        """The agent: apply what came, then acknowledge it. No exception but cancellation leaves it.

        One that did would make Faust go on behind the failed batch.
        """
        # Batches are made of objects by the hundred thousand, and all live to their end: going through them again and
        # again, for nothing, took a third of the worker's time. What else is left behind is looked for now and then.
        gc.set_threshold(_OBJECTS, 10, 10)
        count = 0
        try:
            async with aclosing(self.rounds(stream)) as rounds:
                async for coming in rounds:
                    count += 1
                    if count % _COLLECT_AFTER == 0:
                        gc.collect(1)
                    applied = await self.apply(coming.records)
                    for event in coming.events:
                        if event.message.partition in applied:
                            event.ack()
        finally:
            await self.close()

    async def apply(self, records: Mapping[int, Sequence[KafkaRecord]]) -> Mapping[int, Applied]:
        """As `apply_once`, for as long as it takes. Ends the process when they cannot be applied at all."""
        if self.ends is not None:
            records = up_to(self.ends, records)
        hops = begin(self.group, records) if tracing.is_on() and self.ends is None else None
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception(_passing), wait=_BACK_OFF, before_sleep=self._wait
            ):
                with attempt:
                    applied = await self._schemas.around(lambda: self.apply_once(records))
        except Exception as error:
            batch = ", ".join(f"{Position(p, some[0].offset)} to {some[-1].offset}" for p, some in records.items())
            stop_at_once("projection_stopped", reason=judge(error).reason, batch=batch, exc_info=error)
        if hops:
            hops.end()
        if self.waiting_for:
            log.info("projection_goes_on", partitions=sorted(records))
            self.waiting_for = None
        for partition, one in applied.items():
            self._count(partition, records[partition][0], one)
        return applied

    async def read_starts(self, beginnings: Mapping[int, int], ends: Mapping[int, int]) -> Mapping[int, int]:
        """Where to begin in each partition of `beginnings`. Ends the process when there is no right place."""
        wait_s = self.settings.start_wait_s
        try:
            # At the end of its broker_request_timeout (90 s), Faust would stand still without a word.
            async with asyncio.timeout(wait_s):
                starts = start_offsets(await self._positions_at_last(), beginnings, ends)
        except TimeoutError:
            stop_at_once("projection_stopped", reason=f"Postgres did not answer for {wait_s:g} s")
        except PositionRefused as refused:
            stop_at_once("projection_stopped", reason=str(refused))
        except Exception as error:
            stop_at_once("projection_stopped", reason="the view's positions cannot be read", exc_info=error)
        self.waiting_for = None
        self.ages.clear()
        log.info("reading_from", offsets=starts)
        return starts

    async def _positions_at_last(self) -> Mapping[int, int]:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(OperationalError), wait=_BACK_OFF, before_sleep=self._wait
        )
        return await retrying(self.positions)

    def _count(self, partition: int, first: KafkaRecord, applied: Applied) -> None:
        self.ages[partition] = max(time.time() - first.timestamp / 1000, 0.0)
        self.metrics.visible.observe(self.ages[partition])
        self.metrics.batches.add()
        self.metrics.applied.add(applied.records - applied.deposed - applied.parked)
        self.metrics.deposed.add(applied.deposed)
        self.metrics.parked.add(applied.parked)
        for kind, count in applied.unknown.items():
            self.metrics.unknown.add(count, type=kind)
            if kind not in self._unknown:
                self._unknown.add(kind)
                log.warning("events_of_unknown_type_skipped", type=kind, partition=partition, offset=first.offset)
        if applied.deposed:
            log.warning("events_of_a_deposed_writer_dropped", partition=partition, count=applied.deposed)

    def _wait(self, state: RetryCallState) -> None:
        assert state.outcome is not None  # tenacity calls this between attempts
        error = state.outcome.exception()
        assert isinstance(error, Exception)
        verdict = judge(error)
        self.waiting_for = verdict.reason
        self.metrics.retries.add(cause=verdict.cause if isinstance(verdict, Retry) else "postgres")
        log.warning("projection_waits", reason=self.waiting_for, attempt=state.attempt_number)


class ViewWorker(Worker):
    """The worker of a view in Postgres, where rows and position change in one transaction.

    `on_parked` is called after events were set aside. A view that Publishes needs a `publisher`, which is closed here.
    """

    def __init__(
        self,
        settings: Settings,
        codec: Codec,
        schemas: SchemaLookup,
        view: View,
        generation: Generation,
        metrics: Metrics,
        on_parked: Callable[[], None],
        publisher: Publisher | None = None,
    ) -> None:
        super().__init__(settings, schemas, metrics)
        self._publisher = publisher
        self._database = Database(settings.postgres_url)
        self._codec = codec
        self._view = view
        self._generation = generation
        self._on_parked = on_parked

    def rounds(self, stream: Any) -> AsyncGenerator[Round, None]:
        """See Worker. What comes while Postgres takes a round is decoded, and is the next one."""
        most = MOST_PUBLISHED if self._publisher else MOST_RECORDS
        return decoded_ahead(stream.noack().events(), self._codec, most)

    async def apply_once(self, records: Mapping[int, Sequence[KafkaRecord]]) -> Mapping[int, Applied]:
        """See Worker."""
        most = self.settings.max_parked_orders
        async with self._database.connection() as connection:
            to = (connection, self._view, self._generation, self._codec)
            applied = await apply_batches(*to, records, most, self._publisher)
        for partition, one in applied.items():
            if one.parked:
                log.error("events_parked", partition=partition, count=one.parked, reason=one.reason)
                self._on_parked()
        return applied

    async def positions(self) -> Mapping[int, int]:
        """See Worker."""
        # A connection of its own: the agent may be using the other one.
        async with await connect(self.settings.postgres_url) as connection:
            self.metrics.parked_orders.put(await count_held(connection, self._generation))
            return await read_positions(connection, self._generation)

    async def close(self) -> None:
        """See Worker."""
        await self._database.close()
        if self._publisher:
            await self._publisher.close()


def up_to(ends: Mapping[int, int], records: Mapping[int, Sequence[KafkaRecord]]) -> dict[int, Sequence[KafkaRecord]]:
    """Those of `records` that are before `ends`."""
    before = {p: [one for one in some if one.offset < ends.get(p, 0)] for p, some in records.items()}
    return {partition: some for partition, some in before.items() if some}


def _passing(error: BaseException) -> bool:
    return isinstance(error, Exception) and isinstance(judge(error), Retry)
