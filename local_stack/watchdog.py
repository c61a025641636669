"""What PR_SET_PDEATHSIG does on Linux, for systems without it: children end when their parent does, however it ends.

One watchdog per parent, on a pipe that nobody else writes to: when the parent is gone the pipe ends, and the
watchdog kills what it was told of.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import IO

import psutil


class Watchdog:
    """Started with the first child it guards."""

    def __init__(self) -> None:
        self._pipe: IO[bytes] | None = None

    def guard(self, pid: int) -> None:
        """Have the process group of `pid` killed once this process has ended."""
        if self._pipe is None:
            command = [sys.executable, "-m", "local_stack.watchdog"]
            self._pipe = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True).stdin
        with suppress(psutil.NoSuchProcess, BrokenPipeError):
            # With its start time, since another process may have the number by then.
            line = f"{pid} {psutil.Process(pid).create_time()!r}\n"
            assert self._pipe is not None  # PIPE was asked for
            self._pipe.write(line.encode())
            self._pipe.flush()


def main() -> None:
    """Remember what standard input names until it ends, then kill what is left of it."""
    guarded = [line.split() for line in sys.stdin]
    for pid, created in guarded:
        with suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            if repr(psutil.Process(int(pid)).create_time()) == created:
                os.killpg(int(pid), signal.SIGKILL)


if __name__ == "__main__":
    main()
