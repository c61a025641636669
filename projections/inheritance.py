"""RocksDB folders of the workers that built a generation, taken over by those that keep it, on the same machine.

It saves the recovery of the tables from their changelog. Nothing rests on it: a partition without a folder is
recovered in full, and one whose folder is behind, from there on.
"""

import asyncio
import fcntl
from pathlib import Path

import structlog

from projections.faust_names import data_in
from projections.generations import Generation

log = structlog.get_logger()

_PATIENCE_S = 10.0
_EVERY_S = 0.05


class Inheritance:
    """What the workers with folders below `folders` leave of `generation`."""

    def __init__(self, folders: Path, generation: Generation) -> None:
        self._folders = folders
        self._generation = generation

    async def take(self, partition_folder: Path) -> None:
        """Have `partition_folder` be the builder's, if it is not there yet and one has it.

        Waits some seconds for the builder to end, whose lock says so however it ends.
        """
        for left, lock in self._left(partition_folder):
            if await _is_free(lock):
                left.rename(partition_folder)
                log.info("table_inherited", table=partition_folder.name)
                return
            log.warning("table_not_inherited", table=partition_folder.name, reason="its builder still runs")

    def _left(self, partition_folder: Path) -> list[tuple[Path, Path]]:
        """The folders that could become `partition_folder`, and the locks of the workers that made them."""
        if partition_folder.exists():
            return []
        partition_folder.parent.mkdir(parents=True, exist_ok=True)
        locks = _locks(self._folders)
        tables = [data_in(lock.parent, self._generation) / "tables" for lock in locks]
        found = [(folder / partition_folder.name, lock) for folder, lock in zip(tables, locks, strict=True)]
        return [(left, lock) for left, lock in found if left.exists()]


async def left_by_builders(folders: Path) -> None:
    """Return once no worker with a folder below `folders` runs, after some seconds at most."""
    for lock in _locks(folders):
        await _is_free(lock)


def _locks(folders: Path) -> list[Path]:
    return sorted(folders.glob("*/lock"))


async def _is_free(lock: Path) -> bool:
    deadline = asyncio.get_running_loop().time() + _PATIENCE_S
    with lock.open("a") as held:
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if asyncio.get_running_loop().time() > deadline:
                    return False
                await asyncio.sleep(_EVERY_S)
            else:
                return True
