"""Child processes that never outlive us: own session, log to a file, bounded stop, death with the parent."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from local_stack.watchdog import Watchdog
from schemas.errors import Explained

_PR_SET_PDEATHSIG = 1
_ON_LINUX = sys.platform == "linux"
_watchdog = Watchdog()
_STOP_S = 10.0


class ChildFailed(Explained):
    """A part ended by itself while it should have run; the message ends with the last lines of its log."""


def _die_with_parent() -> None:
    """In the child, before exec. The signal follows the parent's *thread*: start children from one that stays."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """One child process, started again and again with the same command line."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log_file: Path,
        *,
        environment: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self._command = list(command)
        self.log_file = log_file
        self._environment = dict(environment) if environment is not None else dict(os.environ)
        self.stop_signal = stop_signal
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process and self.is_alive() else None

    def start(self) -> None:
        """Start it; what it prints goes to the end of its log file."""
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._cwd,
                start_new_session=True,
                preexec_fn=_die_with_parent if _ON_LINUX else None,
            )
        if not _ON_LINUX:
            _watchdog.guard(self._process.pid)

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def check(self) -> None:
        """Raise ChildFailed when it ended."""
        if not self.is_alive():
            code = self._process.returncode if self._process else None
            raise ChildFailed(f"{self.name} ended with code {code}: {self.last_words()}")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self._process and self.is_alive():
            self._process.send_signal(number)

    def stop(self) -> None:
        """Ask it to end, and kill it when it has not within ten seconds."""
        if self._process is None:
            return
        self.signal(self.stop_signal)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it with SIGKILL, its children too, and wait until it is gone."""
        if self._process is None:
            return
        if self.is_alive():
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def wait(self, timeout_s: float) -> int:
        """Its exit code once it ends. Raises subprocess.TimeoutExpired."""
        if self._process is None:
            raise ChildFailed(f"{self.name} was not started")
        return self._process.wait(timeout_s)

    def last_words(self) -> str:
        """The end of its log, in one line."""
        lines = self.log_file.read_text(errors="replace").splitlines() if self.log_file.exists() else []
        return " / ".join(line.strip() for line in lines[-3:]) or "its log is empty"
