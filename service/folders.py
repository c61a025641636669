"""A folder of its own for each process of a machine, and the same one again after a restart."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path


@contextmanager
def own_folder(parent: Path) -> Iterator[Path]:
    """The first folder of `parent` that no running process has; held while this is entered, and as long as we live.

    The kernel gives it up however the process ends. One that is only suspended keeps its folder: another
    one must not have its RocksDB open as well.
    """
    for number in count():
        folder = parent / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield folder
            return
