"""Where this process keeps its partitions' stores: a folder no other process uses, and the same after a restart."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path


@contextmanager
def claimed_folder(parent: Path) -> Iterator[Path]:
    """The first of `parent`'s folders 0, 1, 2, … that no other process has claimed; made when it is missing.

    The claim is a lock that ends with the process, however that ends. Raises OSError when `parent` cannot be written.
    """
    for number in count():
        folder = parent / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / "claimed", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            os.lockf(handle, os.F_TLOCK, 0)
        except (BlockingIOError, PermissionError):
            os.close(handle)
            continue
        try:
            yield folder
        finally:
            os.close(handle)
        return
