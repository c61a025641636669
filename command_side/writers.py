"""The partition writers of this process: started for partitions it stands for, gone once another has succeeded them."""

import asyncio
from collections.abc import Iterator
from typing import Self

from command_side.election import Candidate
from command_side.owners import Owners
from command_side.partition_writer import PartitionWriter, Phase
from schemas.events import WriterElected


class Writers:
    """Runs a writer for each partition that was asked for, while entered. `owners` hears of what becomes of them."""

    def __init__(self, candidate: Candidate, owners: Owners) -> None:
        self._candidate = candidate
        self._owners = owners
        self._writers: dict[int, PartitionWriter] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        owners.subscribe(self._owner_changed)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def __iter__(self) -> Iterator[PartitionWriter]:
        return iter(list(self._writers.values()))

    def stand(self, partition: int) -> None:
        """Have this process stand for election in `partition`, if it does not stand or serve there already."""
        if partition not in self._writers:
            writer = PartitionWriter(self._candidate, partition, self._changed)
            self._writers[partition] = writer
            self._tasks[partition] = asyncio.create_task(_run_after(self._tasks.get(partition), writer))

    def withdraw(self, partition: int) -> None:
        """Stop standing in `partition`. One that serves goes on: only a successor ends that."""
        writer = self._writers.get(partition)
        if writer and writer.phase is Phase.STANDING and not writer.was_in_office:
            del self._writers[partition]
            self._tasks[partition].cancel()

    def of(self, partition: int) -> PartitionWriter | None:
        """The writer of `partition`, whatever its phase; None when this process does not stand there."""
        return self._writers.get(partition)

    def serving(self, partition: int) -> PartitionWriter | None:
        """The writer of `partition` if it takes commands."""
        writer = self._writers.get(partition)
        return writer if writer and writer.phase is Phase.SERVING else None

    def _changed(self, writer: PartitionWriter) -> None:
        if writer.phase is Phase.SERVING and writer.barrier:
            self._owners.announce(writer.partition, writer.barrier)
        elif writer.phase is Phase.SUCCEEDED and writer.barrier:
            del self._writers[writer.partition]
            self._owners.learn(writer.partition, writer.barrier)
        self._owners.stir()

    def _owner_changed(self, partition: int, barrier: WriterElected) -> None:
        writer = self.serving(partition)
        if writer and barrier.writer_id != self._candidate.writer_id:
            writer.look_again()


async def _run_after(predecessor: asyncio.Task[None] | None, writer: PartitionWriter) -> None:
    """Run `writer` once its predecessor in this process has let go of the partition's store."""
    if predecessor:
        await asyncio.wait([predecessor])
    await writer.run()
