"""The single writer of one partition: stands for election, then commits commands in groups.

    standing ──barrier in the log──▶ serving ──append refused, outcome unknown, log moved on──▶ standing
        └──────────── another writer's barrier is newer than ours ──▶ deposed (for good)
"""

import asyncio
from enum import StrEnum

import structlog
from aiokafka.errors import KafkaError
from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential_jitter

from command_side.election import Candidate, Deposed, Mandate, catch_up, take_over
from command_side.group_commit import Batch
from command_side.outcomes import CommandRequest, Outcome, Unanswered, Unavailable
from command_side.partition_state import PartitionState
from eventlog.fencing import Fenced, OutcomeUnknown
from eventlog.reader import LogTruncated

log = structlog.get_logger()

# Below the broker's default max.message.bytes (1 MiB) by more than the largest command's events.
_BATCH_BYTES = 512 * 1024
_Waiting = tuple[CommandRequest, "asyncio.Future[Outcome]"]


class Phase(StrEnum):
    """Where a partition's writer stands; only a serving one takes commands."""

    STANDING = "standing"
    SERVING = "serving"
    DEPOSED = "deposed"


class LogMovedOn(Exception):
    """The partition holds records that this writer did not write: it is no longer the only one."""


class PartitionWriter:
    """Orders the commands of one partition and appends their events. `run` it as a task."""

    def __init__(self, candidate: Candidate, partition: int) -> None:
        self._candidate = candidate
        self.partition = partition
        self.phase = Phase.STANDING
        self.reason = "starting"
        self._state = PartitionState()
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(candidate.settings.max_queued_commands)
        self._log = log.bind(partition=partition)
        self._in_hand: list[_Waiting] = []

    async def submit(self, request: CommandRequest) -> Outcome:
        """Have a command decided and its events appended.

        Raises Unavailable when it was not tried, Unanswered when nobody can tell.
        """
        if self.phase is not Phase.SERVING:
            raise Unavailable(f"partition {self.partition}: {self.reason}")
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait((request, answer))
        except asyncio.QueueFull:
            raise Unavailable(f"partition {self.partition} has too many commands waiting") from None
        return await answer

    async def run(self) -> None:
        """Stand and serve until cancelled, or deposed by another writer."""
        try:
            while True:
                mandate = await self._stand()
                self.phase, self.reason = Phase.SERVING, ""
                self._log.info("elected", term=mandate.term, epoch=mandate.epoch.epoch, offset=self._state.next_offset)
                await self._serve(mandate)
        except Deposed as deposed:
            self.phase, self.reason = Phase.DEPOSED, str(deposed)
            self._log.warning("deposed", owner=deposed.owner.writer_id, owner_url=deposed.owner.advertised_url)
        finally:
            self._refuse_waiting()

    async def _stand(self) -> Mandate:
        retrying = AsyncRetrying(
            wait=wait_exponential_jitter(initial=0.05, max=5),
            retry=retry_if_exception_type((KafkaError, TimeoutError, Fenced, OutcomeUnknown, LogTruncated, ValueError)),
            before_sleep=lambda attempt: self._note(f"cannot be elected yet: {attempt.outcome.exception()!r}"),
        )
        async for attempt in retrying:
            with attempt:
                return await self._stand_once()
        raise AssertionError("tenacity retries for ever")

    async def _stand_once(self) -> Mandate:
        before = self._state.owner
        await catch_up(self._candidate, self.partition, self._state, self._replayed)
        owner = self._state.owner
        # A process that was in office and finds a newer barrier was deposed: taking the partition
        # back would make two writers fence each other in turns. A new process has no such scruple.
        if owner and owner is not before and before and before.writer_id == self._candidate.writer_id:
            raise Deposed(owner)
        async with asyncio.timeout(self._candidate.settings.produce_deadline_s):
            return await take_over(self._candidate, self.partition, self._state)

    def _replayed(self, done: int, end: int) -> None:
        self.reason = f"replaying the log, {done} of {end}"

    def _note(self, reason: str) -> None:
        self.reason = reason
        self._log.warning("standing", reason=reason)

    async def _serve(self, mandate: Mandate) -> None:
        try:
            while True:
                self._in_hand = await self._next_batch()
                await self._commit(mandate)
        except (Fenced, LogMovedOn) as lost:
            self._step_down(Unavailable(f"partition {self.partition} changes hands"), lost)
        except (OutcomeUnknown, TimeoutError, KafkaError) as unknown:
            self._step_down(Unanswered(f"partition {self.partition}: the log did not answer in time"), unknown)

    async def _next_batch(self) -> list[_Waiting]:
        batch = [await self._queue.get()]
        while len(batch) < self._candidate.settings.max_batch_commands and not self._queue.empty():
            batch.append(self._queue.get_nowait())
        return batch

    async def _commit(self, mandate: Mandate) -> None:
        """Decide what is in hand, append it as one batch, and only then answer."""
        while self._in_hand:
            batch = Batch(self.partition, self._state, self._candidate.codec, mandate.term)
            outcomes: list[Outcome] = []
            for request, _ in self._in_hand:
                outcomes.append(batch.decide(request))
                if batch.size_bytes >= _BATCH_BYTES:
                    break
            async with asyncio.timeout(self._candidate.settings.produce_deadline_s):
                await self._make_durable(batch, mandate)
            batch.commit()
            answered, self._in_hand = self._in_hand[: len(outcomes)], self._in_hand[len(outcomes) :]
            for (_, answer), outcome in zip(answered, outcomes, strict=True):
                if not answer.done():
                    answer.set_result(outcome)

    async def _make_durable(self, batch: Batch, mandate: Mandate) -> None:
        """Append the batch; or, when it has no events, make sure that nobody else wrote meanwhile.

        The fence guards what is appended only. A rejection, or the answer to a repeated key, rests
        on the state being the log's: the end is read for it, the idea of Raft's read index.
        """
        expected, client = self._state.next_offset, self._candidate.client
        if batch.drafts:
            found = await mandate.append(client, self.partition, batch.drafts)
        else:
            found = await client.end_offset(self.partition)
        if found != expected:
            raise LogMovedOn(f"expected offset {expected}, the log answered {found}")

    def _step_down(self, answer: Exception, cause: Exception) -> None:
        self.phase, self.reason = Phase.STANDING, f"being elected again after {type(cause).__name__}"
        self._log.warning("stepped_down", cause=repr(cause))
        for _, waiting in self._in_hand:
            if not waiting.done():
                waiting.set_exception(answer)
        self._in_hand = []
        self._refuse_waiting()

    def _refuse_waiting(self) -> None:
        """Answer those whose command was never tried."""
        refusal = Unavailable(f"partition {self.partition}: {self.reason or 'stopping'}")
        while not self._queue.empty():
            _, waiting = self._queue.get_nowait()
            if not waiting.done():
                waiting.set_exception(refusal)
