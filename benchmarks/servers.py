"""The HTTP servers that are measured, each a process of its own: the command API, and one that does nothing."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from eventlog.settings import Settings
from local_stack.ports import free_port
from local_stack.probes import http_ready, wait_until
from local_stack.process import Child
from local_stack.services import environment_of, orderlog

_START_S = 60.0


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is ready: its base URL and its process."""

    url: str
    process: Child


@contextmanager
def command_api(settings: Settings) -> Iterator[Server]:
    """`orderlog serve command-api` while entered, from when it serves every partition."""
    with _serving("command-api", orderlog("serve", "command-api"), settings) as server:
        yield server


@contextmanager
def empty_api(settings: Settings) -> Iterator[Server]:
    """A FastAPI whose POST /orders does nothing, served the same way as the command API."""
    with _serving("empty-api", [sys.executable, "-m", "benchmarks.empty_app"], settings) as server:
        yield server


@contextmanager
def _serving(name: str, command: list[str], settings: Settings) -> Iterator[Server]:
    own = settings.model_copy(update={"command_api_port": free_port(), "log_level": "error"})
    url = f"http://127.0.0.1:{own.command_api_port}"
    process = Child(name, command, settings.data_dir / "logs" / f"{name}.log", environment=environment_of(own))
    process.start()
    try:
        wait_until(lambda: http_ready(f"{url}/readyz"), process, _START_S)
        yield Server(url, process)
    finally:
        process.stop()
