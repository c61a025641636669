"""A server as a process of its own, for as long as a measurement takes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from eventlog.settings import Settings
from local_stack.probes import http_ready, wait_until
from local_stack.process import Child
from local_stack.services import environment_of

_START_S = 60.0


@contextmanager
def server(command: Sequence[str], ready_url: str, settings: Settings) -> Iterator[None]:
    """Run `command` with `settings`; entered once `ready_url` answers well."""
    log = settings.data_dir / "logs" / "benchmark.log"
    process = Child("server", command, log, environment=environment_of(settings))
    process.start()
    try:
        wait_until(lambda: http_ready(ready_url), process, _START_S)
        yield
    finally:
        process.stop()
