"""Workers of the `orders` view as running processes: traffic for them, what they say, what holds them up."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from random import Random
from typing import Any

import httpx
import psycopg

from eventlog.reader import log_ends
from eventlog.settings import Settings
from local_stack.services import environment_of
from tests.kit.command_line import orderlog_here
from tests.kit.worlds import Worker, eventually
from tests.projections.histories import history
from tests.projections.log import LogWriter
from tests.projections.refold import next_offsets


@contextmanager
def running(*workers: Worker) -> Iterator[None]:
    """Start `workers`; kill them in the end."""
    try:
        for worker in workers:
            worker.start()
        yield
    finally:
        for worker in workers:
            worker.kill()


async def append(writer: LogWriter, orders: int, seed: int = 1) -> None:
    random = Random(seed)
    await writer.append([event for _ in range(orders) for event in history(random)])


async def caught_up(settings: Settings, worker: Worker, projection: str | None = None) -> None:
    ends = await log_ends(settings.kafka_bootstrap, settings.topic("order.events"))
    wanted = {partition: end for partition, end in ends.items() if end}
    await eventually(lambda: next_offsets(settings, projection) == wanted, worker)


async def url_of(worker: Worker) -> str:
    return str((await eventually(lambda: worker.logged("listening"), worker))["url"])


async def readiness(url: str) -> Mapping[str, Any]:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{url}/readyz")
    return {**answer.json(), "status_code": answer.status_code}


async def becomes(url: str, worker: Worker, state: str) -> Mapping[str, Any]:
    """Readiness, once the watchdog says `state`."""

    async def reached() -> Mapping[str, Any] | None:
        said = await readiness(url)
        return said if said["state"] == state else None

    found: Mapping[str, Any] = await eventually(reached, worker)
    return found


async def metrics(url: str) -> dict[str, float]:
    """{name, with labels other than those all have: value} of the worker's own metrics."""
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"{url}/metrics")).text
    found: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith("orderlog_projection_"):
            name, _, value = line.removeprefix("orderlog_projection_").rpartition(" ")
            for common in ('generation="1"', 'projection="orders"', 'projection="sales"', 'projection="public"'):
                name = name.replace(f",{common}", "").replace(f"{common},", "").replace(common, "")
            found[name.removesuffix("{}")] = float(value)
    return found


def cli_told(settings: Settings, *arguments: str) -> tuple[int, str, str]:
    """The exit code of `orderlog …` in this process, and what it said on standard output and standard error."""
    done = orderlog_here(*arguments, variables=environment_of(settings))
    return done.returncode, done.stdout, done.stderr


async def told(settings: Settings, *arguments: str, code: int = 0) -> str:
    """What `orderlog dlq …` says; on standard error, when it says nothing else."""
    returned, out, err = await asyncio.to_thread(cli_told, settings, "dlq", *arguments)
    assert returned == code, err
    return out or err


async def dlq(settings: Settings, *arguments: str, code: int = 0) -> Any:
    """What `orderlog dlq … --json` answers."""
    said = await told(settings, *arguments, "--json", code=code)
    return json.loads(said) if said.startswith("{") else said


def execute(settings: Settings, *statements: str) -> None:
    with psycopg.connect(settings.postgres_url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@asynccontextmanager
async def held_back(settings: Settings) -> AsyncIterator[None]:
    """The view's positions are locked by somebody else: no batch can be applied."""
    async with await psycopg.AsyncConnection.connect(settings.postgres_url) as connection:
        await connection.execute("SELECT * FROM orderlog.checkpoints FOR UPDATE")
        yield


async def said_why(worker: Worker) -> str:
    """Why the process ended by itself, with status 1."""
    assert await asyncio.to_thread(worker.wait, 60) == 1
    stopped = worker.logged("projection_stopped")
    assert stopped, worker.last_words()
    return str(stopped["reason"])


def offsets_of(worker: Worker) -> dict[str, int]:
    """Where the worker began to read after the last rebalance."""
    return dict((worker.logged("reading_from") or {}).get("offsets", {}))
