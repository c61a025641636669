"""All partitions' writers of this process, and the way from a command to the right one."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from command_side.election import Candidate
from command_side.outcomes import CommandRequest, Outcome, Unanswered, Unavailable
from command_side.partition_writer import PartitionWriter, Phase
from eventlog.partitioning import partition_of


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One partition's standing, for readiness: its phase, and why it does not serve."""

    partition: int
    phase: str
    reason: str


class Writers:
    """Runs one writer per partition while entered."""

    def __init__(self, candidate: Candidate) -> None:
        self._in_flight, self._most_in_flight = 0, candidate.settings.max_commands_in_flight
        self._deadline_s = candidate.settings.command_deadline_s
        self._writers: Sequence[PartitionWriter] = [
            PartitionWriter(candidate, partition) for partition in range(candidate.settings.partitions)
        ]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(writer.run()) for writer in self._writers]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def submit(self, request: CommandRequest) -> Outcome:
        """Have the command decided by its partition's writer, within the command deadline.

        Raises Unavailable when it was not tried, Unanswered when nobody can tell.
        """
        if self._in_flight >= self._most_in_flight:
            raise Unavailable(f"{self._in_flight} commands are under way, and no more are taken")
        writer = self._writers[partition_of(request.command.order_id, len(self._writers))]
        self._in_flight += 1
        try:
            async with asyncio.timeout(self._deadline_s):
                return await writer.enqueue(request)
        except TimeoutError:
            raise Unanswered(f"no answer within {self._deadline_s:g} s") from None
        finally:
            self._in_flight -= 1

    def enqueue(self, request: CommandRequest) -> "asyncio.Future[Outcome]":
        """As `submit`, without waiting: the deadline is the caller's, who cancels the future when it is past.

        Raises Unavailable when it was not tried; the future may raise it too, or Unanswered.
        """
        if self._in_flight >= self._most_in_flight:
            raise Unavailable(f"{self._in_flight} commands are under way, and no more are taken")
        writer = self._writers[partition_of(request.command.order_id, len(self._writers))]
        outcome = writer.enqueue(request)
        self._in_flight += 1
        outcome.add_done_callback(self._landed)
        return outcome

    def _landed(self, _: "asyncio.Future[Outcome]") -> None:
        self._in_flight -= 1

    def status(self) -> list[PartitionStatus]:
        """Every partition's standing, in order."""
        return [PartitionStatus(w.partition, w.phase, w.reason) for w in self._writers]

    @property
    def ready(self) -> bool:
        """Whether every partition is served here."""
        return all(writer.phase is Phase.SERVING for writer in self._writers)
