"""Who writes which partition: the last barrier of each, from the compacted topic `writer.owners`.

It only says where to send a command. An entry may be stale: the one it names then refuses, and nothing is wrong.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Self

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from eventlog.reader import bounded_consumer
from eventlog.settings import Settings
from schemas.codec import Codec
from schemas.events import WriterElected
from schemas.topics import WRITER_OWNERS

log = structlog.get_logger()

_POLL_MS = 1_000
_BACK_OFF = wait_exponential_jitter(multiplier=0.1, max=5)


class Owners:
    """The owner of every partition, kept up to date while entered; entering waits until it has read all there is.

    An owner is told from an older one by its term; `log_id` says which log's. What this process announces is sent again
    should an older entry overwrite it.
    """

    def __init__(self, settings: Settings, codec: Codec, log_id: str) -> None:
        self._bootstrap = settings.kafka_bootstrap
        self._where = TopicPartition(settings.topic(WRITER_OWNERS.name), 0)
        self._codec = codec
        # Part of each key: terms of a log that was deleted and made anew begin again.
        self._prefix = f"{log_id}/"
        self._owners: dict[int, WriterElected] = {}
        self._announced: dict[int, WriterElected] = {}
        self._to_send: asyncio.Queue[int] = asyncio.Queue()
        self._moved = asyncio.Event()
        self._listeners: list[Callable[[int, WriterElected], None]] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        read = asyncio.Event()
        self._tasks = [asyncio.create_task(self._follow_always(read)), asyncio.create_task(self._send_always())]
        await read.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def of(self, partition: int) -> WriterElected | None:
        """The last owner of `partition` that is known here."""
        return self._owners.get(partition)

    def __iter__(self) -> Iterator[tuple[int, WriterElected]]:
        return iter(list(self._owners.items()))

    def subscribe(self, listener: Callable[[int, WriterElected], None]) -> None:
        """Have `listener` called with each partition that gets another owner, from now on."""
        self._listeners.append(listener)

    async def changed(self) -> None:
        """Return after the next change of anything that says who serves a partition."""
        await self._moved.wait()

    def stir(self) -> None:
        """Wake everyone who waits for a change."""
        self._moved.set()
        self._moved = asyncio.Event()

    def announce(self, partition: int, barrier: WriterElected) -> None:
        """Tell all instances that this process owns `partition`, as soon as the broker takes it."""
        self._announced[partition] = barrier
        self.learn(partition, barrier)
        self._to_send.put_nowait(partition)

    def learn(self, partition: int, barrier: WriterElected) -> None:
        """Take note of an owner, unless a later one is known."""
        known = self._owners.get(partition)
        if known and known.term >= barrier.term:
            return
        self._owners[partition] = barrier
        self.stir()
        for listener in self._listeners:
            listener(partition, barrier)

    async def _follow_always(self, read: asyncio.Event) -> None:
        async for attempt in _retrying("owners_not_read"):
            with attempt:
                async with bounded_consumer(self._bootstrap) as consumer:
                    await self._follow(consumer, read)

    async def _follow(self, consumer: AIOKafkaConsumer, read: asyncio.Event) -> None:
        consumer.assign([self._where])
        await consumer.seek_to_beginning(self._where)
        (end,) = (await consumer.end_offsets([self._where])).values()
        while True:
            if await consumer.position(self._where) >= end:
                read.set()
            fetched = await consumer.getmany(self._where, timeout_ms=_POLL_MS if read.is_set() else 50)
            for record in fetched.get(self._where, []):
                key = (record.key or b"").decode(errors="replace")
                if key.startswith(self._prefix):
                    self._take(key, record.value)

    def _take(self, key: str, value: bytes) -> None:
        try:
            partition, told = int(key.removeprefix(self._prefix)), self._codec.decode(value)
        except ValueError as error:  # DecodeError is one
            log.warning("owner_not_readable", key=key, reason=str(error))
            return
        if not isinstance(told, WriterElected):
            return
        ours = self._announced.get(partition)
        if ours and self._owners.get(partition) == ours and told.term < ours.term:
            self._to_send.put_nowait(partition)  # an older one came late, and compaction keeps the last
        self.learn(partition, told)

    async def _send_always(self) -> None:
        async for attempt in _retrying("owners_not_sent"):
            with attempt:
                async with AIOKafkaProducer(bootstrap_servers=self._bootstrap, acks="all") as producer:
                    while True:
                        partition = await self._to_send.get()
                        try:
                            await self._send(producer, partition)
                        except Exception:
                            self._to_send.put_nowait(partition)
                            raise

    async def _send(self, producer: AIOKafkaProducer, partition: int) -> None:
        value = self._codec.encode(self._announced[partition])
        topic, only_partition = self._where
        key = f"{self._prefix}{partition}".encode()
        await producer.send_and_wait(topic, value, key, partition=only_partition)


def _retrying(event: str) -> AsyncRetrying:
    def told(attempt: RetryCallState) -> None:
        log.warning(event, reason=repr(attempt.outcome.exception() if attempt.outcome else None))

    return AsyncRetrying(retry=retry_if_exception_type(Exception), wait=_BACK_OFF, before_sleep=told)
