"""The single writer of one partition: stands for election, then commits commands in groups.

standing ──barrier in the log──▶ serving ──append refused, outcome unknown, log moved on──▶ standing
    └──────────── another writer's barrier is newer than ours ──▶ deposed (for good)
"""

import asyncio
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import structlog
from aiokafka.errors import KafkaError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential_jitter

from command_side.election import Candidate, Deposed, Mandate, catch_up, take_over
from command_side.group_commit import Batch
from command_side.outcomes import CommandRequest, Outcome, Unanswered, Unavailable
from command_side.partition_state import PartitionState
from eventlog.fencing import Fenced, OutcomeUnknown

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
        self._was_in_office = False

    def enqueue(self, request: CommandRequest) -> "asyncio.Future[Outcome]":
        """Have a command decided and its events appended, after those that were enqueued before it.

        Raises Unavailable when it was not tried; the future may raise it too, or Unanswered when nobody can tell.
        """
        if self.phase is not Phase.SERVING:
            raise Unavailable(f"partition {self.partition}: {self.reason}")
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait((request, answer))
        except asyncio.QueueFull:
            raise Unavailable(f"partition {self.partition} has too many commands waiting") from None
        return answer

    async def run(self) -> None:
        """Stand and serve until cancelled, or deposed by another writer."""
        try:
            while True:
                mandate = await self._stand()
                self._was_in_office = True
                self.phase, self.reason = Phase.SERVING, ""
                self._log.info("elected", term=mandate.term, epoch=mandate.epoch.epoch, offset=self._state.next_offset)
                await self._serve(mandate)
        except Deposed as deposed:
            self.phase, self.reason = Phase.DEPOSED, str(deposed)
            self._log.warning("deposed", owner=deposed.owner.writer_id, owner_url=deposed.owner.advertised_url)
        finally:
            self._refuse_waiting()

    async def _stand(self) -> Mandate:
        # Whatever it is (no broker, a record that cannot be read): this partition waits and says
        # why, the others serve. Nothing else could be done by hand that a later attempt does not do.
        retrying = AsyncRetrying(
            wait=wait_exponential_jitter(multiplier=0.05, max=5),
            retry=retry_if_exception(lambda error: isinstance(error, Exception) and not isinstance(error, Deposed)),
            before_sleep=self._explain,
        )
        return await retrying(self._stand_once)

    async def _stand_once(self) -> Mandate:
        await catch_up(self._candidate, self.partition, self._state, self._replayed)
        owner = self._state.owner
        # A writer that was in office and finds another's barrier was deposed: taking the partition
        # back would make the two fence each other in turns. A new process has no such scruple.
        if self._was_in_office and owner and owner.writer_id != self._candidate.writer_id:
            raise Deposed(owner)
        async with asyncio.timeout(self._candidate.settings.produce_deadline_s):
            return await take_over(self._candidate, self.partition, self._state)

    def _replayed(self, done: int, end: int) -> None:
        self._forget_old_keys()
        self.reason = f"replaying the log, {done} of {end}"

    def _explain(self, attempt: RetryCallState) -> None:
        cause = attempt.outcome.exception() if attempt.outcome else None
        self.phase, self.reason = Phase.STANDING, f"cannot be elected yet: {cause!r}"
        self._refuse_waiting()
        self._log.warning("standing", reason=self.reason, attempt=attempt.attempt_number)

    async def _serve(self, mandate: Mandate) -> None:
        """Commit batches until another writer may be at it, or until the barrier is to be renewed."""
        try:
            while batch := await self._next_batch():
                self._in_hand = batch
                await self._commit(mandate)
        except (Fenced, LogMovedOn, OutcomeUnknown, TimeoutError, KafkaError) as cause:
            self.phase, self.reason = Phase.STANDING, f"being elected again after {type(cause).__name__}"
            self._log.warning("stepped_down", cause=repr(cause))
            self._refuse_waiting()

    async def _next_batch(self) -> list[_Waiting]:
        """The commands that wait; none when nobody came for as long as a barrier lasts.

        An idle partition forgets its writer's epoch, so a new election then makes a new barrier. The phase stays:
        commands that come meanwhile wait the few milliseconds it takes.
        """
        try:
            async with asyncio.timeout(self._candidate.settings.barrier_every_s):
                batch = [await self._queue.get()]
        except TimeoutError:
            return []
        while len(batch) < self._candidate.settings.max_batch_commands and not self._queue.empty():
            batch.append(self._queue.get_nowait())
        return batch

    async def _commit(self, mandate: Mandate) -> None:
        """Decide what is in hand, append it as one batch, and only then answer."""
        while self._in_hand:
            batch = Batch(self.partition, self._state, self._candidate.codec, mandate.term)
            outcomes = self._decide(batch)
            async with asyncio.timeout(self._candidate.settings.produce_deadline_s):
                await self._make_durable(batch, mandate)
            batch.commit()
            self._forget_old_keys()
            decided, self._in_hand = self._in_hand[: len(outcomes)], self._in_hand[len(outcomes) :]
            for (_, answer), outcome in zip(decided, outcomes, strict=True):
                _answer(answer, outcome)

    def _decide(self, batch: Batch) -> list[Outcome | Exception]:
        outcomes: list[Outcome | Exception] = []
        for request, _ in self._in_hand:
            try:
                outcomes.append(batch.decide(request))
            except Exception as bug:
                # One command that cannot be decided must not take the partition down with it.
                self._log.exception("undecidable_command", command_id=request.command_id)
                outcomes.append(bug)
            if batch.size_bytes >= _BATCH_BYTES:
                break
        return outcomes

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

    def _forget_old_keys(self) -> None:
        self._state.forget(datetime.now(UTC) - timedelta(seconds=self._candidate.settings.idempotency_keep_s))

    def _refuse_waiting(self) -> None:
        """Answer those in hand, whose batch may be in the log or still on its way there, and those never tried."""
        unanswered = Unanswered(f"partition {self.partition}: the log did not answer")
        for _, answer in self._in_hand:
            _answer(answer, unanswered)
        self._in_hand = []
        refusal = Unavailable(f"partition {self.partition}: {self.reason or 'stopping'}")
        while not self._queue.empty():
            _answer(self._queue.get_nowait()[1], refusal)


def _answer(waiting: "asyncio.Future[Outcome]", outcome: Outcome | Exception) -> None:
    if waiting.done():  # the client gave up
        return
    if isinstance(outcome, Exception):
        waiting.set_exception(outcome)
    else:
        waiting.set_result(outcome)
