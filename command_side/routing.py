"""The way from a command to the writer of its partition, in this process or in another one.

A command is sent on to an owner, and to another one only if that is newer: the terms only rise, so it cannot go in
circles. One that was sent on to this process and is not written here is refused.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from command_side.metrics import CommandMetrics
from command_side.outcomes import CommandRequest, NotServing, Outcome, Unanswered, Unavailable
from command_side.owners import Owners
from command_side.ownership import Ownership
from command_side.partition_writer import PartitionWriter
from command_side.writers import Writers
from eventlog.partitioning import partition_of
from eventlog.settings import Settings
from schemas.events import WriterElected

T = TypeVar("T")
# How long an owner that was succeeded may still answer what it was sent before.
_LATE_ANSWER_S = 1.0
# Sends the command to the owner at a URL, which has so many seconds; raises NotServing, or Unanswered.
Forward = Callable[[str, float], Awaitable[T]]


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One partition's standing as this instance sees it: the owner's URL, and why nobody takes its commands."""

    partition: int
    owner: str
    reason: str


class Router:
    """Takes commands for every partition. At most `max_commands_in_flight` are under way at any time."""

    def __init__(
        self, settings: Settings, writers: Writers, owners: Owners, ownership: Ownership, metrics: CommandMetrics
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._writers = writers
        self._owners = owners
        self._ownership = ownership
        self.in_flight = 0
        self._waits: dict[int, set[asyncio.Timeout]] = {}
        owners.subscribe(self._owner_changed)

    async def submit(
        self, request: CommandRequest, forward: Forward[T] | None = None, within_s: float | None = None
    ) -> Outcome | T:
        """What came of the command: an outcome if it was decided here, else what `forward` returned.

        Without `forward` it is not sent on. Raises Unavailable when it was not tried, Unanswered when nobody can tell.
        """
        try:
            partition, deadline = self._take(request, within_s)
            self.in_flight += 1
            try:
                outcome = await self._submit(partition, request, forward, deadline)
            finally:
                self.in_flight -= 1
        except BaseException as error:
            self._metrics.ended(request, error)
            raise
        self._metrics.ended(request, outcome)
        return outcome

    def enqueue(
        self, request: CommandRequest, forward: Forward[T] | None, within_s: float | None = None
    ) -> "asyncio.Future[Outcome | T]":
        """As `submit`, without waiting: commands on one order are decided in the order in which they are enqueued.

        Raises Unavailable; the future raises what `submit` does, and NotServing when the writer here stepped down.
        """
        try:
            partition, deadline = self._take(request, within_s)
            if writer := self._writers.serving(partition):
                result: asyncio.Future[Any] = writer.submit(request, deadline)
            else:
                result = asyncio.create_task(self._find(partition, request, forward, deadline))
        except Unavailable as error:
            self._metrics.ended(request, error)
            raise
        self.in_flight += 1
        result.add_done_callback(partial(self._landed, request))
        return result

    async def _submit(
        self, partition: int, request: CommandRequest, forward: Forward[T] | None, deadline: float
    ) -> Outcome | T:
        if writer := self._writers.serving(partition):
            try:
                return await writer.submit(request, deadline)
            except NotServing:
                pass  # it stepped down with nothing appended
        return await self._find(partition, request, forward, deadline)

    def _take(self, request: CommandRequest, within_s: float | None) -> tuple[int, float]:
        """The command's partition and its deadline, if one more may be under way. Raises Unavailable."""
        if self.in_flight >= self._settings.max_commands_in_flight:
            raise Unavailable(f"{self.in_flight} commands are under way, and no more are taken")
        partition = partition_of(request.command.order_id, self._settings.partitions)
        deadline = asyncio.get_running_loop().time() + (within_s or self._settings.command_deadline_s)
        return partition, deadline

    def _landed(self, request: CommandRequest, result: "asyncio.Future[Any]") -> None:
        self.in_flight -= 1
        if result.cancelled():
            self._metrics.ended(request, asyncio.CancelledError())
        else:
            self._metrics.ended(request, result.exception() or result.result())

    async def hand_over(self) -> None:
        """Let others take this process's partitions over, before it ends."""
        await self._ownership.hand_over()

    def status(self) -> list[PartitionStatus]:
        """Every partition's standing, in order."""
        return [self._status(partition) for partition in range(self._settings.partitions)]

    @property
    def ready(self) -> bool:
        """Whether every partition has an owner that takes commands, here or elsewhere."""
        return not any(status.reason for status in self.status())

    async def _find(
        self, partition: int, request: CommandRequest, forward: Forward[T] | None, deadline: float
    ) -> Outcome | T:
        asked = 0  # the term of the last owner that was asked
        while True:
            found = await self._owner(partition, asked, deadline)
            try:
                if isinstance(found, PartitionWriter):
                    return await found.submit(request, deadline)
                if forward is None:
                    raise NotServing(f"partition {partition} is written at {found.advertised_url}")
                asked = found.term
                return await self._forwarded(partition, found, forward, deadline)
            except NotServing:
                if forward is None:
                    raise

    async def _owner(self, partition: int, asked: int, deadline: float) -> PartitionWriter | WriterElected:
        """Who takes the partition's commands, but for owners up to the term `asked`. Raises Unavailable."""
        patience = min(self._settings.election_wait_s, deadline - asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(patience):
                while True:
                    if writer := self._writers.serving(partition):
                        return writer
                    owner = self._owners.of(partition)
                    if owner and owner.term > asked and self._elsewhere(owner):
                        return owner
                    await self._owners.changed()
        except TimeoutError:
            raise Unavailable(
                f"partition {partition}: {self._status(partition).reason or 'being handed over'}"
            ) from None

    async def _forwarded(self, partition: int, owner: WriterElected, forward: Forward[T], deadline: float) -> T:
        waits = self._waits.setdefault(partition, set())
        try:
            async with asyncio.timeout_at(deadline) as wait:
                waits.add(wait)
                left_s = deadline - asyncio.get_running_loop().time()
                return await forward(owner.advertised_url, left_s)
        except TimeoutError:
            raise Unanswered(f"partition {partition}: its owner did not answer") from None
        finally:
            waits.discard(wait)

    def _owner_changed(self, partition: int, _owner: WriterElected) -> None:
        # What was sent to the owner before may never be answered, so nobody waits for that any longer.
        for wait in self._waits.get(partition, ()):
            if not wait.expired():
                late = asyncio.get_running_loop().time() + _LATE_ANSWER_S
                wait.reschedule(min(late, wait.when() or late))

    def _elsewhere(self, owner: WriterElected) -> bool:
        return self._ownership.neighbours.is_alive(owner.advertised_url)

    def _status(self, partition: int) -> PartitionStatus:
        owner, writer = self._owners.of(partition), self._writers.of(partition)
        url = owner.advertised_url if owner else ""
        if self._writers.serving(partition) or (owner and self._elsewhere(owner)):
            return PartitionStatus(partition, url, "")
        reason = writer.reason if writer else "its owner is gone" if owner else "it has no owner yet"
        return PartitionStatus(partition, url, reason)
