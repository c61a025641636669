"""A server as a process of its own for the length of a measurement."""

from collections.abc import Iterator
from contextlib import contextmanager

from eventlog.settings import Settings
from local_stack.probes import http_ready, wait_until
from local_stack.process import Child
from local_stack.services import environment_of

_START_S = 60.0


@contextmanager
def serving(command: list[str], ready_url: str, settings: Settings) -> Iterator[None]:
    """Run `command` while this is entered, which begins once `ready_url` answers."""
    log = settings.data_dir / "logs" / "benchmark.log"
    server = Child("server", command, log, environment=environment_of(settings))
    server.start()
    try:
        wait_until(lambda: http_ready(ready_url), server, _START_S)
        yield
    finally:
        server.stop()
