"""A world for a test: topics, schemas, tables; and orderlog's services as real processes of it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from eventlog.reader import log_ends, read_partition
from eventlog.recorded import RecordedEvent, read_record
from eventlog.settings import Settings
from local_stack import preparing
from local_stack.downloads import ensure_artifacts
from local_stack.kafka import Kafka
from local_stack.ports import free_port, remembered_ports
from local_stack.postgres import Postgres
from local_stack.probes import http_ready, wait_until
from local_stack.process import Child
from local_stack.progress import Silent
from local_stack.registry import Registry
from local_stack.server import Server
from local_stack.services import environment_of, orderlog
from schemas.codec import Codec
from schemas.publish import load_codec
from schemas.topics import CATALOGUE, PUBLIC

_READY_S = 60.0
_POLL_S = 0.02


async def prepare(settings: Settings, *, public: bool = False) -> Codec:
    """Create the world's topics, register its schemas, migrate its database; the codec to write events with.

    Only a `public` world has the topics of public events: they are ten times as many partitions as the others.
    """
    topics = CATALOGUE if public else [topic for topic in CATALOGUE if topic not in PUBLIC]
    await preparing.prepare(settings, topics)
    return await asyncio.to_thread(load_codec, settings.registry_url, settings.topic_prefix)


async def log_of(settings: Settings, codec: Codec, but: Set[str] = frozenset()) -> list[RecordedEvent]:
    """Every record of the world's log, but those at the positions `but`, in order within each partition."""
    topic, found = settings.topic("order.events"), list[RecordedEvent]()
    for partition, end in (await log_ends(settings.kafka_bootstrap, topic)).items():
        async for records in read_partition(settings.kafka_bootstrap, topic, partition, 0, end):
            counted = [record for record in records if f"{partition}:{record.offset}" not in but]
            found += [read_record(codec, partition, record) for record in counted]
    return found


@contextmanager
def own_kafka(settings: Settings, folder: Path) -> Iterator[tuple[Kafka, Settings]]:
    """A broker of the test's own in `folder`, to be killed and suspended as it likes, and the settings with it."""
    ports = remembered_ports(folder / "kafka-ports.json", ("kafka", "controller"))
    artifacts, log = ensure_artifacts(settings.cache_dir, Silent()), folder / "kafka.log"
    kafka = Kafka(artifacts, folder / "kafka", log, ports["kafka"], ports["controller"])
    kafka.start()
    try:
        yield kafka, settings.model_copy(update={"kafka_bootstrap": kafka.bootstrap})
    finally:
        kafka.stop()


@contextmanager
def own_postgres(settings: Settings, folder: Path) -> Iterator[tuple[Postgres, Settings]]:
    """A Postgres of the test's own in `folder`, to be killed and started as it likes, and the settings with it."""
    ports = remembered_ports(folder / "ports.json", ("postgres",))
    postgres = Postgres(folder / "postgres", folder / "postgres.log", ports["postgres"])
    postgres.start()
    try:
        yield postgres, settings.model_copy(update={"postgres_url": postgres.url})
    finally:
        postgres.stop()


@contextmanager
def standing_still(server: Server) -> Iterator[None]:
    """The server and its children are suspended while this is entered: connections stay open, nothing is answered."""
    process = psutil.Process(server.child.pid)
    processes = [process, *process.children(recursive=True)]
    for one in processes:  # the server first: it then starts no others
        with suppress(psutil.NoSuchProcess):  # a backend whose client has just left
            one.suspend()
    try:
        yield
    finally:
        for one in processes:
            with suppress(psutil.NoSuchProcess):
                one.resume()


@contextmanager
def own_registry(settings: Settings, folder: Path) -> Iterator[tuple[Registry, Settings]]:
    """A registry of the test's own, beside the shared one and with the same schemas, which are in Kafka."""
    ports = remembered_ports(folder / "registry-ports.json", ("registry", "registry-management"))
    log, artifacts = folder / "registry.log", ensure_artifacts(settings.cache_dir, Silent())
    registry = Registry(artifacts, log, ports["registry"], ports["registry-management"], settings.kafka_bootstrap)
    registry.start()
    try:
        yield registry, settings.model_copy(update={"registry_url": registry.url})
    finally:
        registry.stop()


class CommandApi(Child):
    """The command API as a process of its own, on a port that it keeps from start to start."""

    def __init__(self, settings: Settings, log_file: Path) -> None:
        self.settings = settings.model_copy(update={"command_api_port": free_port(), "log_format": "json"})
        self.url = f"http://127.0.0.1:{self.settings.command_api_port}"
        command = orderlog("serve", "command-api")
        super().__init__(log_file.stem, command, log_file, environment=environment_of(self.settings))

    def start_only(self) -> None:
        """Start it and return at once."""
        super().start()

    def start(self) -> None:
        """Start it and return once every partition has an owner."""
        super().start()
        wait_until(self.is_ready, self, _READY_S)

    def is_ready(self) -> bool:
        """Whether it says that every partition has an owner."""
        return http_ready(f"{self.url}/readyz")


class QueryApi(Child):
    """The query API as a process of its own."""

    def __init__(self, settings: Settings, log_file: Path) -> None:
        self.settings = settings.model_copy(update={"query_api_port": free_port(), "log_format": "json"})
        self.url = f"http://127.0.0.1:{self.settings.query_api_port}"
        super().__init__(
            "query-api", orderlog("serve", "query-api"), log_file, environment=environment_of(self.settings)
        )

    def start_only(self) -> None:
        """Start it and return at once."""
        super().start()

    def start(self) -> None:
        """Start it and return once the views can be read."""
        super().start()
        wait_until(lambda: http_ready(f"{self.url}/readyz"), self, _READY_S)


class Worker(Child):
    """A projection's worker as a process of its own, with JSON logs."""

    def __init__(
        self, settings: Settings, log_file: Path, projection: str = "orders", code: Path | None = None
    ) -> None:
        """`code` is a folder with packages that are to take the place of the installed ones."""
        self._offset = 0
        variables = environment_of(settings.model_copy(update={"log_format": "json"}))
        super().__init__("worker", orderlog("project", projection), log_file, environment=variables, cwd=code)

    def start(self) -> None:
        """Start it; `logged` then tells of this run only."""
        self._offset = self.log_file.stat().st_size if self.log_file.exists() else 0
        super().start()

    def logged(self, event: str) -> dict[str, Any] | None:
        """The last line of this run about `event`, None when there is none."""
        text = self.log_file.read_bytes()[self._offset :].decode()
        lines = (json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("}\n"))
        return next((line for line in reversed(list(lines)) if line.get("event") == event), None)


async def eventually(
    probe: Callable[[], Awaitable[object] | object], running: Child | None = None, timeout_s: float = 60
) -> Any:
    """The first answer of `probe` that is true. Raises TimeoutError, or ChildFailed once `running` has ended."""
    async with asyncio.timeout(timeout_s):
        while True:
            answer = probe()
            if isinstance(answer, Awaitable):
                answer = await answer
            if answer:
                return answer
            if running:
                running.check()
            await asyncio.sleep(_POLL_S)
