"""The Faust transport of a projection: it starts where the view is, and hands over one message per fetched batch.

Stock Faust costs about 53 µs of CPU per message, so the records that one fetch brought of a partition
travel as one message whose value is their list and whose offset is the last one's. Acknowledging it
acknowledges them all, so offsets of messages are not consecutive, and the bookkeeping of gaps, made for
single records, is replaced. All other topics keep the stock path.

It overrides methods of faust-streaming 0.15.3 and aiokafka that are not public; the versions are pinned, and
tests/projections/test_worker.py runs it against a real broker.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import faust
from aiokafka.consumer.fetcher import FetchResult
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

_CLOSED_S = 0.02

ReadStarts = Callable[[Mapping[int, int], Mapping[int, int]], Awaitable[Mapping[int, int]]]


@dataclass(frozen=True, slots=True)
class FetchedBatch:
    """What one fetch brought of one partition, in the shape of a record of aiokafka's."""

    topic: str
    partition: int
    value: list[Any]
    key: None = None
    headers: tuple[()] = ()
    checksum: None = None
    serialized_key_size: int = 0
    serialized_value_size: int = 0

    @property
    def offset(self) -> int:
        """The last record's."""
        return int(self.value[-1].offset)

    @property
    def timestamp(self) -> int:
        """The last record's, in milliseconds."""
        return int(self.value[-1].timestamp)

    @property
    def timestamp_type(self) -> int:
        """The last record's."""
        return int(self.value[-1].timestamp_type)


class LogConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]  # Faust has no types
    """The thread that fetches. Of the log it hands over records as they were parsed.

    They have the attributes of aiokafka's ConsumerRecord that we read; to copy them into one takes as long as parsing.

    Before a seek it gives up the fetches that are under way. Faust gives up only the wait for their outcome when a
    rebalance begins: they go on in this thread, wait for the new assignment, take records behind the new position,
    and nobody gets them. The worker then stood still until the next event, and stopped at the hole.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._fetches: set[asyncio.Future[dict[Any, list[Any]]]] = set()

    async def _seek_wait(self, consumer: Any, partitions: Mapping[Any, int]) -> None:
        for fetch in self._fetches:
            fetch.cancel()
        await super()._seek_wait(consumer, partitions)

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[Any],
        timeout: float | None = None,  # noqa: ASYNC109 - Faust's
        max_records: int | None = None,
    ) -> dict[Any, list[Any]]:
        # What comes in while this waits is copied: right, and only slower.
        for tp, fetched in consumer._fetcher._records.items():
            if self.consumer._is_log(tp) and isinstance(fetched, FetchResult) and fetched.has_more():
                fetched._partition_records._consumer_record = _as_parsed
        fetch = asyncio.ensure_future(super()._fetch_records(consumer, active_partitions, timeout, max_records))
        self._fetches.add(fetch)
        try:
            await asyncio.wait({fetch})
            return {} if fetch.cancelled() else fetch.result()
        finally:
            fetch.cancel()
            self._fetches.discard(fetch)


def _as_parsed(_tp: Any, record: Any) -> Any:
    return record


class LogConsumer(driver.Consumer):  # type: ignore[misc]  # Faust has no types
    """Reads the log's topic in batches from the view's own positions."""

    def _new_consumer_thread(self) -> LogConsumerThread:
        return LogConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def seek_to_committed(self) -> dict[Any, int]:
        """Seek the log's partitions to where the view is; Faust calls it before it lets any message through.

        Kafka's commits are only a hint for people and tools: they follow the view's position, never lead it.
        """
        offsets: dict[Any, int] = dict(await super().seek_to_committed())
        partitions = {tp.partition: tp for tp in self.assignment() if self._is_log(tp)}
        if partitions:
            beginnings = await self.earliest_offsets(*partitions.values())
            ends = await self.highwaters(*partitions.values())
            starts = await self.app.read_starts(_by_partition(beginnings), _by_partition(ends))
            wanted = {partitions[partition]: offset for partition, offset in starts.items()}
            await self.seek_wait(wanted)
            offsets |= wanted
        return offsets

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        """Tell the app before anything else: this worker must act as the owner of nothing until it is told anew."""
        self.app.log_flows = None
        self.app.on_revoked()
        await super().on_partitions_revoked(revoked)

    async def _getmany(self, active_partitions: set[Any] | None, timeout: float) -> dict[Any, list[Any]]:  # noqa: ASYNC109
        # Stock getmany goes on from here, with its check that no rebalance came between fetch and delivery.
        flows = self.app.log_flows
        if flows is None and active_partitions is not None:
            active_partitions = {tp for tp in active_partitions if not self._is_log(tp)}
            if not active_partitions:
                await self.sleep(_CLOSED_S)
                return {}
        fetched = await super()._getmany(active_partitions, timeout)
        if self.app.log_flows is not flows:  # it was begun before a seek that is still to come, or came meanwhile
            fetched = {tp: records for tp, records in fetched.items() if not self._is_log(tp)}
        return {
            tp: [FetchedBatch(tp.topic, tp.partition, records)] if records and self._is_log(tp) else records
            for tp, records in fetched.items()
        }

    def _new_offset(self, tp: Any) -> int | None:
        if not self._is_log(tp):
            return super()._new_offset(tp)  # type: ignore[no-any-return]
        # One agent takes the batches of a partition in order, so the last acknowledged one covers the others.
        acked = self._acked[tp]
        if not acked:
            return None
        offset = max(acked) + 1
        acked.clear()
        self._acked_index[tp].clear()
        return int(offset)

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        if not self._is_log(tp):
            await super()._add_gap(tp, offset_from, offset_to)

    def on_buffer_full(self, tp: Any) -> None:
        """Leave the partition active: a full buffer already holds the fetcher back.

        Stock Faust stops fetching it, and with no other partition active sleeps a second before it looks again.
        """
        if not self._is_log(tp):
            super().on_buffer_full(tp)

    def _is_log(self, tp: Any) -> bool:
        return bool(tp.topic == self.app.log_topic)


class LogTransport(driver.Transport):  # type: ignore[misc]  # Faust has no types
    """Kafka with LogConsumer."""

    Consumer = LogConsumer


class ProjectionApp(faust.App):  # type: ignore[misc]  # Faust has no types
    """A Faust app that reads `log_topic` through LogConsumer.

    `read_starts` gets the beginnings and ends of the assigned partitions and answers where to begin.
    It must not raise: Faust would go on without an answer, or stand still. `on_revoked` is called when a
    rebalance begins. `beside` is what is to run while the app does, from before its start on.
    """

    beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = ()

    def __init__(
        self, app_id: str, log_topic: str, read_starts: ReadStarts, on_revoked: Callable[[], None], **options: Any
    ) -> None:
        self.log_topic = log_topic
        self.read_starts = read_starts
        self.on_revoked = on_revoked
        # Of the log nothing is fetched before the assignment is complete. With tables, Faust lets records flow as
        # soon as recovery begins, seeks at its end, and then empties the queue: what was fetched in between was lost.
        self.log_flows: object | None = None
        super().__init__(app_id, **options)

    def on_rebalance_end(self) -> None:
        """The last thing of an assignment: positions are sought, tables recovered, queues emptied."""
        super().on_rebalance_end()
        self.log_flows = object()

    def _new_transport(self) -> LogTransport:
        return LogTransport(self.conf.broker_consumer, self)


def _by_partition(offsets: Mapping[TP, int]) -> dict[int, int]:
    return {tp.partition: offset for tp, offset in offsets.items()}
