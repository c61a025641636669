"""How much memory a process holds while something is measured on it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import psutil

_EVERY_S = 0.05
_MIB = 2**20


@dataclass(slots=True)
class Watch:
    """Resident memory of a process in MiB, taken every 50 ms, each with its time (perf_counter)."""

    samples: list[tuple[float, float]] = field(default_factory=list)

    @property
    def peak(self) -> float:
        """The most that was seen."""
        return max(mib for _, mib in self.samples)

    def at(self, moment: float) -> float:
        """What was seen last before `moment` (perf_counter), or first of all."""
        before = [mib for when, mib in self.samples if when <= moment]
        return before[-1] if before else self.samples[0][1]


@asynccontextmanager
async def watched(pid: int, *, tree: bool = False) -> AsyncIterator[Watch]:
    """Watch the process `pid` while entered, as long as it lives; with `tree`, the sum of it and all that it starts.

    In that sum, memory that they share counts for each.
    """
    watch, process = Watch(), psutil.Process(pid)

    async def look() -> None:
        with suppress(psutil.NoSuchProcess):
            while True:
                resident = process.memory_info().rss
                for one in process.children(recursive=True) if tree else ():
                    with suppress(psutil.NoSuchProcess):
                        resident += one.memory_info().rss
                watch.samples.append((time.perf_counter(), resident / _MIB))
                await asyncio.sleep(_EVERY_S)

    task = asyncio.create_task(look())
    try:
        yield watch
    finally:
        task.cancel()
