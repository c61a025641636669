"""The whole system on this machine: Kafka, registry, Postgres, and orderlog's services on top, kept running."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NoReturn

import structlog

from eventlog.settings import Settings
from local_stack import run_state
from local_stack.infrastructure import Infrastructure
from local_stack.preparing import prepare
from local_stack.probes import http_ready
from local_stack.progress import Advance, Progress
from local_stack.run_state import Part, RunState, State
from local_stack.services import SERVICES, with_mailbox, with_ports
from local_stack.supervision import Supervised
from schemas.errors import Explained

log = structlog.get_logger()

_LEAST_FREE_BYTES = 500 * 2**20
_READY_S = 90.0
_GIVE_UP_RESTARTS = 3
_EVERY_S = 0.1


class StackFailed(Explained):
    """The stack did not come up; the message says which part and why."""


@contextmanager
def running_stack(settings: Settings, progress: Progress) -> Iterator["Stack"]:
    """A stack of its own in `settings.data_dir`, ready when this is entered, stopped when it is left.

    Raises AlreadyRunning, DownloadFailed, ChildFailed, PortTaken, StackFailed, with nothing left running.
    """
    with run_state.owned(settings.data_dir):
        stack = Stack(settings, progress)
        try:
            stack.start()
            yield stack
        except Exception as error:
            stack.say("failed", str(error))
            raise
        finally:
            stack.stop()


class Stack:
    """Use `running_stack`. `tend` must be called often, or what ends stays ended."""

    def __init__(self, settings: Settings, progress: Progress) -> None:
        self.settings = settings
        self._progress = progress
        self._data = settings.data_dir.absolute()
        self._infrastructure: Infrastructure | None = None
        self._infrastructure_parts: list[Supervised] = []
        self._services: list[Supervised] = []
        self.parts: tuple[Part, ...] = ()

    def start(self) -> None:
        """Start everything and return once all services are ready."""
        self.say("starting", "looking for what was downloaded")
        _require_space(self._data)
        self.settings = with_mailbox(with_ports(self.settings, self._data / "ports.json"))
        infrastructure = self._infrastructure = Infrastructure(self._data, self.settings.cache_dir, self)
        infrastructure.start()
        self._infrastructure_parts = [Supervised(part.child, part.launch) for part in infrastructure.parts]
        self.settings = self._settings_on(infrastructure)
        self.parts = (*infrastructure.described(), *(service.part(self.settings) for service in SERVICES))
        self.step("creating topics, registering schemas, migrating")
        asyncio.run(prepare(self.settings))
        self.step("starting orderlog's services")
        for service in SERVICES:
            child = service.child(self.settings, self._data / "logs")
            self._services.append(Supervised(child, child.start))
            self._services[-1].launch()
        self._until_ready()
        self.say("running", "")

    def tend(self) -> None:
        """Start again what has ended."""
        for part in (*self._infrastructure_parts, *self._services):
            part.tend()

    def stop(self) -> None:
        """Stop everything, services first; a second Ctrl-C does not cut it short."""
        with _uninterrupted():
            if (last := run_state.last_written(self._data)) and last.state != "failed":
                self.say("stopping", "stopping")
            for service in self._services:
                service.child.signal(signal.SIGTERM)
            for service in self._services:
                service.child.stop()
            if self._infrastructure:
                self._infrastructure.stop()

    def say(self, state: State, step: str) -> None:
        """Write down, for `orderlog status` and `up`, how things stand."""
        settings = self.settings.model_dump(mode="json", exclude_none=True, exclude={"smtp_password"})
        run_state.write(self._data, RunState(os.getpid(), state, step, settings, self.parts))

    def step(self, text: str) -> None:
        """A step of the start: told to the terminal, and written down."""
        self._progress.step(text)
        self.say("starting", text)

    def download(self, name: str, total_bytes: int) -> AbstractContextManager[Advance]:
        """A download of the start, for the terminal only."""
        return self._progress.download(name, total_bytes)

    def _settings_on(self, infrastructure: Infrastructure) -> Settings:
        endpoints = infrastructure.endpoints
        return self.settings.model_copy(
            update={
                "kafka_bootstrap": endpoints.kafka_bootstrap,
                "registry_url": endpoints.registry_url,
                "postgres_url": endpoints.postgres_url,
                "data_dir": self._data,
            }
        )

    def _until_ready(self) -> None:
        deadline = time.monotonic() + _READY_S
        for part, service in zip(self.parts[-len(SERVICES) :], self._services, strict=True):
            while not http_ready(part.ready_url):
                self.tend()
                if service.restarts >= _GIVE_UP_RESTARTS or time.monotonic() > deadline:
                    raise StackFailed(f"{part.name} does not get ready: {service.child.last_words()}")
                time.sleep(_EVERY_S)


def tend_always(stack: Stack) -> NoReturn:
    """Keep the stack running until a signal interrupts it."""
    while True:
        stack.tend()
        time.sleep(_EVERY_S)


def _require_space(data_dir: Path) -> None:
    data_dir.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(data_dir).free
    if free < _LEAST_FREE_BYTES:
        needed = _LEAST_FREE_BYTES // 2**20
        raise StackFailed(f"only {free // 2**20} MB are free on the disk of {data_dir}; {needed} MB are needed")


@contextmanager
def _uninterrupted() -> Iterator[None]:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
