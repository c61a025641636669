"""The single writer of one partition: stands for election, then commits commands in groups.

standing ──barrier in the log──▶ serving ──append refused, outcome unknown, log moved on──▶ standing
    └──────────── another writer's barrier is newer than ours ──▶ succeeded (for good)
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum

import structlog
from aiokafka.errors import KafkaError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential_jitter

from command_side.election import Candidate, Deposed, Mandate, OtherLog, catch_up, open_state, take_over
from command_side.group_commit import Batch
from command_side.order_store import StoreUnusable
from command_side.outcomes import CommandRequest, NotServing, Outcome, Unanswered, Unavailable
from command_side.partition_state import PartitionState
from command_side.replay import Replay
from command_side.traced_batch import batch_class
from eventlog.fencing import Fenced, OutcomeUnknown
from eventlog.reader import LogTruncated
from schemas.events import WriterElected

log = structlog.get_logger()

# Below the broker's default max.message.bytes (1 MiB) by more than the largest command's events.
_BATCH_BYTES = 512 * 1024
_Waiting = tuple[CommandRequest, float, "asyncio.Future[Outcome]"]


class Phase(StrEnum):
    """Where a partition's writer stands; only a serving one takes commands."""

    STANDING = "standing"
    SERVING = "serving"
    SUCCEEDED = "succeeded"


class LogMovedOn(Exception):
    """The partition holds records that this writer did not write: it is no longer the only one."""


class PartitionWriter:
    """Orders the commands of one partition and appends their events. `run` it as a task.

    `barrier` is the last one this writer knows, its own while it serves, another's once it is succeeded. `changed` is
    called after every change of phase.
    """

    def __init__(self, candidate: Candidate, partition: int, changed: Callable[["PartitionWriter"], None]) -> None:
        self._candidate = candidate
        self._metrics = candidate.metrics
        self.partition = partition
        self.phase = Phase.STANDING
        self.reason = "starting"
        self.barrier: WriterElected | None = None
        self._changed = changed
        self._state: PartitionState | None = None
        self._queue: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._log = log.bind(partition=partition)
        self._in_hand: list[_Waiting] = []
        self.was_in_office = False
        self._to_look = False

    def submit(self, request: CommandRequest, deadline: float) -> "asyncio.Future[Outcome]":
        """Have a command decided and its events appended; the future's value is what came of it.

        One that is not begun by `deadline`, in the event loop's time, is refused. Raises NotServing, or Unavailable
        when too many wait; the future raises these too, and Unanswered when nobody can tell.
        """
        if self.phase is not Phase.SERVING:
            raise NotServing(f"partition {self.partition}: {self.reason}")
        if len(self._queue) >= self._candidate.settings.max_queued_commands:
            raise Unavailable(f"partition {self.partition} has too many commands waiting")
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._queue.append((request, deadline, answer))
        self._arrived.set()
        return answer

    @property
    def queued(self) -> int:
        """How many commands wait to be taken in hand."""
        return len(self._queue)

    def look_again(self) -> None:
        """Have a serving writer read what the log holds after its own last record: another may have succeeded it."""
        self._to_look = True
        self._arrived.set()

    async def run(self) -> None:
        """Stand and serve until cancelled, or succeeded by another writer."""
        try:
            while True:
                mandate, state = await self._stand()
                self.was_in_office, self.barrier = True, state.owner
                self._enter(Phase.SERVING, "")
                self._metrics.elections.inc()
                self._log.info("elected", term=mandate.term, epoch=mandate.epoch.epoch, offset=state.next_offset)
                await self._serve(mandate, state)
        except Deposed as deposed:
            self.barrier = deposed.owner
            self._enter(Phase.SUCCEEDED, str(deposed))
            self._log.info("succeeded", by=deposed.owner.writer_id, at=deposed.owner.advertised_url)
        finally:
            self._refuse_waiting(Unanswered(f"partition {self.partition}: the process is stopping"))
            if self._state:
                await asyncio.to_thread(self._state.close)

    def _enter(self, phase: Phase, reason: str) -> None:
        self.phase, self.reason = phase, reason
        self._changed(self)

    async def _stand(self) -> tuple[Mandate, PartitionState]:
        # Whatever it is (no broker, a record that cannot be read): this partition waits and says
        # why, the others serve. Nothing else could be done by hand that a later attempt does not do.
        retrying = AsyncRetrying(
            wait=wait_exponential_jitter(multiplier=0.05, max=5),
            retry=retry_if_exception(lambda error: isinstance(error, Exception) and not isinstance(error, Deposed)),
            before_sleep=self._explain,
        )
        return await retrying(self._stand_once)

    async def _stand_once(self) -> tuple[Mandate, PartitionState]:
        replay = Replay(self.partition)

        def progress(done: int, end: int) -> None:
            self.reason = replay.told(done, end)

        try:
            self._state = state = self._state or await open_state(self._candidate, self.partition)
            await catch_up(self._candidate, self.partition, state, progress)
            # A writer that was in office and finds another's barrier was deposed: taking the partition
            # back would make the two fence each other in turns. A new candidate has no such scruple.
            if self.was_in_office and state.owner and state.owner.writer_id != self._candidate.writer_id:
                raise Deposed(state.owner)
            async with asyncio.timeout(self._candidate.settings.produce_deadline_s):
                return await take_over(self._candidate, self.partition, state), state
        except (StoreUnusable, OtherLog, LogTruncated) as cause:
            await self._discard_state(cause)
            raise

    async def _discard_state(self, cause: Exception) -> None:
        self._log.warning("order_store_discarded", reason=str(cause))
        if self._state:
            state, self._state = self._state, None
            await asyncio.to_thread(state.discard)

    def _explain(self, attempt: RetryCallState) -> None:
        cause = attempt.outcome.exception() if attempt.outcome else None
        self.reason = f"cannot be elected yet: {cause!r}"
        self._log.warning("standing", reason=self.reason, attempt=attempt.attempt_number)

    async def _serve(self, mandate: Mandate, state: PartitionState) -> None:
        """Commit batches until another writer may be at it, or until the barrier is to be renewed."""
        try:
            while batch := await self._next_batch():
                self._in_hand = batch
                await self._commit(mandate, state)
        except Fenced as cause:
            self._step_down(cause, NotServing(f"partition {self.partition}: another writer was elected"))
        except (LogMovedOn, OutcomeUnknown, TimeoutError, KafkaError) as cause:
            self._step_down(cause, Unanswered(f"partition {self.partition}: the log did not answer"))
        except StoreUnusable as cause:
            await self._discard_state(cause)
            self._step_down(cause, Unanswered(f"partition {self.partition}: its state is being made again"))

    def _step_down(self, cause: Exception, in_hand: Exception) -> None:
        self._log.warning("stepped_down", cause=repr(cause))
        self._metrics.stepped_down(cause)
        self._enter(Phase.STANDING, f"being elected again after {type(cause).__name__}")
        self._refuse_waiting(in_hand)

    async def _next_batch(self) -> list[_Waiting]:
        """The commands that wait; none when the log is to be looked at, or none came for as long as a barrier lasts.

        An idle partition forgets its writer's epoch, so a new election then makes a new barrier. The phase stays:
        commands that come meanwhile wait the few milliseconds it takes.
        """
        if not self._queue:
            self._arrived.clear()
            try:
                async with asyncio.timeout(self._candidate.settings.barrier_every_s):
                    await self._arrived.wait()
            except TimeoutError:
                return []
        if self._to_look:
            self._to_look = False
            return []
        most = min(len(self._queue), self._candidate.settings.max_batch_commands)
        return [self._queue.popleft() for _ in range(most)]

    async def _commit(self, mandate: Mandate, state: PartitionState) -> None:
        """Decide what is in hand, append it as one batch, and only then answer."""
        make = batch_class()
        while self._in_hand:
            batch = make(self.partition, state, self._candidate.codec, mandate.term)
            outcomes = self._decide(batch)
            async with asyncio.timeout(self._candidate.settings.produce_deadline_s):
                await self._make_durable(batch, mandate, state.next_offset)
            batch.commit()
            self._metrics.batch_commands.observe(len(outcomes))
            decided, self._in_hand = self._in_hand[: len(outcomes)], self._in_hand[len(outcomes) :]
            for (_, _, answer), outcome in zip(decided, outcomes, strict=True):
                _answer(answer, outcome)

    def _decide(self, batch: Batch) -> list[Outcome | Exception]:
        outcomes: list[Outcome | Exception] = []
        now = asyncio.get_running_loop().time()
        for request, deadline, _ in self._in_hand:
            try:
                outcomes.append(batch.decide(request) if now < deadline else _too_late(self.partition))
            except StoreUnusable:
                raise
            except Exception as bug:
                # One command that cannot be decided must not take the partition down with it.
                self._log.exception("undecidable_command", command_id=request.command_id)
                outcomes.append(bug)
            if batch.size_bytes >= _BATCH_BYTES:
                break
        return outcomes

    async def _make_durable(self, batch: Batch, mandate: Mandate, expected: int) -> None:
        """Append the batch; or, when it has no events, make sure that nobody else wrote meanwhile.

        The fence guards what is appended only. A rejection, or the answer to a repeated key, rests
        on the state being the log's: the end is read for it, the idea of Raft's read index.
        """
        client = self._candidate.client
        if batch.drafts:
            began = time.perf_counter()
            found = await mandate.append(client, self.partition, batch.drafts)
            self._metrics.append_duration.observe(time.perf_counter() - began)
            if found != expected:
                raise LogMovedOn(f"expected offset {expected}, the log answered {found}")
            self._metrics.events.inc(len(batch.drafts))
        elif (found := await client.end_offset(self.partition)) != expected:
            raise Fenced(f"partition {self.partition} ends at {found}, not at {expected}")

    def _refuse_waiting(self, in_hand: Exception) -> None:
        """Answer those in hand, whose batch was under way, and those never tried."""
        for _, _, answer in self._in_hand:
            _answer(answer, in_hand)
        self._in_hand = []
        refusal = NotServing(f"partition {self.partition}: {self.reason or 'stopping'}")
        while self._queue:
            _answer(self._queue.popleft()[2], refusal)


def _too_late(partition: int) -> Unavailable:
    return Unavailable(f"partition {partition} has more commands waiting than it could take in time")


def _answer(waiting: "asyncio.Future[Outcome]", outcome: Outcome | Exception) -> None:
    if waiting.done():  # the client gave up
        return
    if isinstance(outcome, Exception):
        waiting.set_exception(outcome)
    else:
        waiting.set_result(outcome)
