"""A peer: our writer, but each batch is appended in a Kafka transaction by aiokafka's transactional producer.

The decisions are ours (`Batch`), so is group commit with one batch in flight per partition; left out is what a
transaction stands in for: fence, barrier, contiguity.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiokafka import AIOKafkaProducer

from benchmarks.append import bare_topic
from benchmarks.orders import empty_state
from command_side.group_commit import Batch
from command_side.outcomes import CommandRequest, Outcome
from eventlog.fencing import Draft
from eventlog.partitioning import partition_of
from eventlog.settings import Settings
from schemas.codec import Codec

_ANY_BATCH = 1_000_000
_Waiting = tuple[CommandRequest, "asyncio.Future[Outcome]"]


class _Writer:
    """One partition's commands, in order, a transaction for as many as wait."""

    def __init__(self, settings: Settings, codec: Codec, partition: int) -> None:
        self._topic = bare_topic(settings)
        self._most = settings.max_batch_commands
        self._codec = codec
        self._partition = partition
        self._state = empty_state(settings)
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self.producer = AIOKafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap,
            transactional_id=f"{self._topic}-{partition}",
            max_batch_size=_ANY_BATCH,
        )

    async def submit(self, request: CommandRequest) -> Outcome:
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((request, answer))
        return await answer

    async def run(self) -> None:
        while True:
            waiting = [await self._queue.get()]
            while len(waiting) < self._most and not self._queue.empty():
                waiting.append(self._queue.get_nowait())
            batch = Batch(self._partition, self._state, self._codec, term=1)
            outcomes = [batch.decide(request) for request, _ in waiting]
            async with self.producer.transaction():
                await self._append(batch.drafts)
            batch.commit()
            self._state.next_offset += 1  # the record that ends a transaction
            for (_, answer), outcome in zip(waiting, outcomes, strict=True):
                answer.set_result(outcome)

    async def _append(self, drafts: list[Draft]) -> None:
        records = self.producer.create_batch()
        for draft in drafts:
            added = records.append(
                key=draft.key, value=draft.value, timestamp=draft.timestamp_ms, headers=draft.headers
            )
            assert added, "more commands than a batch of Kafka's holds"
        records.close()
        await (await self.producer.send_batch(records, self._topic, partition=self._partition))


class TransactionalWriters:
    """The writers of all partitions, to be used like ours."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self._writers = [_Writer(settings, codec, partition) for partition in range(settings.partitions)]

    async def submit(self, request: CommandRequest) -> Outcome:
        """Have the command decided and its events appended in a transaction."""
        return await self._writers[partition_of(request.command.order_id, len(self._writers))].submit(request)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve while entered; a writer that fails ends what is in it."""
        async with AsyncExitStack() as stack:
            for writer in self._writers:
                await stack.enter_async_context(writer.producer)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(writer.run()) for writer in self._writers]
                yield
                for task in tasks:
                    task.cancel()
