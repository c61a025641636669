"""Rebuilds as real processes, and readers that must not notice them."""

import asyncio
import json
import signal
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psutil
import psycopg
from psycopg.rows import dict_row

from eventlog.positions import parse_positions
from eventlog.settings import Settings
from eventlog.topic_admin import admin_client
from local_stack.process import Child
from local_stack.services import environment_of, orderlog
from tests.kit.worlds import Worker, eventually
from tests.projections.histories import history
from tests.projections.log import LogWriter


class Rebuild(Child):
    """`orderlog rebuild …` with its progress as JSON lines; it ends by itself."""

    def __init__(self, settings: Settings, folder: Path, *arguments: str, code: Path | None = None) -> None:
        variables = environment_of(settings.model_copy(update={"log_format": "json"}))
        command = orderlog("rebuild", *arguments, "--json")
        log = folder / f"rebuild{len(list(folder.iterdir()))}.log"
        super().__init__("rebuild", command, log, environment=variables, cwd=code)

    def kill_alone(self) -> None:
        """SIGKILL to it and to nobody else: what it started must end by itself."""
        self.signal(signal.SIGKILL)
        self.wait(10)

    def lines(self) -> list[dict[str, Any]]:
        """What it has printed so far, logs and errors left out."""
        text = self.log_file.read_text() if self.log_file.exists() else ""
        found = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("}\n")]
        return [line for line in found if "event" not in line]

    def last(self) -> dict[str, Any]:
        """The last of it, empty when there is nothing."""
        return (self.lines() or [{}])[-1]

    async def done(self) -> dict[str, Any]:
        """What it says in the end. It must end with 0."""
        code = await asyncio.to_thread(self.wait, 150)
        assert code == 0, self.log_file.read_text()[-3000:]
        return self.last()

    async def refused(self, code: int) -> str:
        """The one line with which it ends, with this exit code."""
        assert await asyncio.to_thread(self.wait, 60) == code, self.log_file.read_text()[-3000:]
        (line,) = [one for one in self.log_file.read_text().splitlines() if one.startswith("orderlog: ")]
        return line


def generations(settings: Settings, projection: str = "orders") -> list[tuple[int, str]]:
    """Every generation's number and state, oldest first."""
    query = "SELECT generation, state FROM orderlog.generations WHERE projection = %s ORDER BY generation"
    with psycopg.connect(settings.postgres_url) as connection:
        return connection.execute(query, [projection]).fetchall()


def schemas(settings: Settings) -> set[str]:
    """The schemas of generations."""
    query = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'views_g%'"
    with psycopg.connect(settings.postgres_url) as connection:
        return {name for (name,) in connection.execute(query).fetchall()}


def positions(settings: Settings, generation: int) -> Mapping[int, int]:
    """{partition: next offset} of a generation."""
    query = "SELECT partition, next_offset FROM orderlog.checkpoints WHERE generation = %s"
    with psycopg.connect(settings.postgres_url) as connection:
        return dict(connection.execute(query, [generation]).fetchall())


def rows(settings: Settings, query: str) -> list[dict[str, Any]]:
    with psycopg.connect(settings.postgres_url, row_factory=dict_row) as connection:
        return connection.execute(query.encode()).fetchall()


async def traffic(writer: LogWriter, orders: int, batch: int = 200, seed: int = 7) -> None:
    """Append `orders` histories, some at a time."""
    random = Random(seed)
    for _ in range(0, orders, batch):
        await writer.append([event for _ in range(batch) for event in history(random)])


async def steadily(writer: LogWriter, random: Random) -> None:
    """Append a few orders again and again until cancelled."""
    while True:
        await writer.append(history(random))
        await asyncio.sleep(0.02)


class Reader:
    """Polls a query until cancelled; every answer must be whole and no older than the one before."""

    def __init__(self, url: str, path: str) -> None:
        self.answers = 0
        self.slowest_s = 0.0
        self._url = url
        self._path = path
        self._seen: dict[int, int] = {}

    async def is_served(self) -> bool:
        """Whether there is an answer."""
        async with httpx.AsyncClient(base_url=self._url, timeout=30) as http:
            try:
                return (await http.get(self._path)).is_success
            except httpx.TransportError:
                return False

    async def poll(self) -> None:
        """Read, and check."""
        loop = asyncio.get_running_loop()
        async with httpx.AsyncClient(base_url=self._url, timeout=30) as http:
            while True:
                began = loop.time()
                answer = await http.get(self._path)
                self.slowest_s = max(self.slowest_s, loop.time() - began)
                assert answer.status_code == 200, answer.text
                reached = parse_positions(answer.headers["Orderlog-Position"])
                for partition, offset in self._seen.items():
                    assert reached.get(partition, -1) >= offset, f"{self._path}: back in time in partition {partition}"
                self._seen = reached
                self.answers += 1
                await asyncio.sleep(0.01)


async def rebuilt(settings: Settings, folder: Path, worker: Worker, generation: int, *arguments: str) -> dict[str, Any]:
    """What `orderlog rebuild …` says in the end, once `worker` keeps this generation."""
    rebuild = Rebuild(settings, folder, *arguments, "--jobs", "1")
    rebuild.start()
    done = await rebuild.done()
    assert done["generation"] == generation
    await follows(worker, generation)
    return done


def descendants(child: Child) -> list[psutil.Process]:
    """The processes that a process has started, and those that they have."""
    return psutil.Process(child.pid).children(recursive=True) if child.pid else []


async def groups(settings: Settings) -> set[str]:
    """The consumer groups of the world's projections, without its prefix."""
    async with admin_client(settings) as admin:
        found = {name for name, *_ in await admin.list_consumer_groups()}
    prefix = f"{settings.topic_prefix}projection"
    return {name.removeprefix(settings.topic_prefix) for name in found if name.startswith(prefix)}


async def said_phase(rebuild: Rebuild, phase: str) -> dict[str, Any]:
    """The last progress of `rebuild`, once it is in `phase`."""
    found: dict[str, Any] = await eventually(
        lambda: next((line for line in reversed(rebuild.lines()) if line.get("phase") == phase), None), rebuild
    )
    return found


async def follows(worker: Worker, generation: int) -> None:
    """Return once `worker` keeps `generation`."""
    await eventually(lambda: (worker.logged("projection_starts") or {}).get("generation") == generation, worker)
