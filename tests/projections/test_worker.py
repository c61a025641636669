"""The real worker process on a real broker and Postgres: killed, starved, misled."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psycopg
import pytest

from eventlog.reader import log_ends
from eventlog.settings import Settings
from tests.kit.worlds import Worker, eventually, own_postgres, prepare
from tests.projections.histories import history, placed
from tests.projections.log import LogWriter, log_writer
from tests.projections.refold import folded_log, next_offsets, view


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> Iterator[Worker]:
    process = Worker(settings, tmp_path / "worker.log")
    yield process
    process.kill()


@asynccontextmanager
async def load(writer: LogWriter, events: int) -> AsyncIterator[asyncio.Task[None]]:
    """Append whole histories while this is entered, `events` events at least; wait for the task to see them all."""

    async def append() -> None:
        random, appended = Random(3), 0
        while appended < events:
            batch = [event for _ in range(40) for event in history(random)]
            await writer.append(batch)
            appended += len(batch)
            await asyncio.sleep(0)

    task = asyncio.create_task(append())
    yield task
    await task


async def caught_up(settings: Settings, running: Worker) -> None:
    """Return once the view is at the log's end."""
    ends = await log_ends(settings.kafka_bootstrap, settings.topic("order.events"))
    wanted = {partition: end for partition, end in ends.items() if end}
    await eventually(lambda: next_offsets(settings) == wanted, running)


async def applied(settings: Settings, running: Worker, records: int) -> None:
    """Return once the view holds `records` records or more."""
    await eventually(lambda: sum(next_offsets(settings).values()) >= records, running)


async def test_killed_at_random_moments_it_applies_every_event_once(settings: Settings, worker: Worker) -> None:
    codec, random = await prepare(settings), Random()
    async with log_writer(settings, codec) as writer, load(writer, 40_000):
        for _ in range(3):
            worker.start()
            before = sum(next_offsets(settings).values())
            await applied(settings, worker, before + random.randint(1, 8_000))
            worker.kill()
        worker.start()
    await caught_up(settings, worker)
    # The fold refuses an order's event out of sequence, so equal versions also mean that none came twice.
    assert view(settings) == await folded_log(settings, codec)
    worker.stop()
    assert worker.wait(0) == 0


async def test_two_workers_share_the_partitions_and_take_over(
    settings: Settings, worker: Worker, tmp_path: Path
) -> None:
    codec = await prepare(settings)
    other = Worker(settings, tmp_path / "other.log")
    try:
        async with log_writer(settings, codec) as writer, load(writer, 20_000):
            worker.start()
            await applied(settings, worker, 1)
            other.start()
            await eventually(lambda: len((other.logged("reading_from") or {}).get("offsets", "")), other)
            worker.stop()
            assert worker.wait(0) == 0
        await caught_up(settings, other)
        assert view(settings) == await folded_log(settings, codec)
    finally:
        other.kill()


async def test_it_waits_while_postgres_is_away(settings: Settings, tmp_path: Path) -> None:
    """For longer than its session and than it may stand still: it stays in its group, and is not taken for stuck."""
    settings = settings.model_copy(update={"stuck_after_s": 3.0, "watch_every_s": 0.5})
    with own_postgres(settings, tmp_path) as (postgres, settings):
        worker = Worker(settings, tmp_path / "worker.log")
        codec, random = await prepare(settings), Random(5)
        async with log_writer(settings, codec) as writer:
            worker.start()
            await writer.append([placed()])
            await applied(settings, worker, 1)
            url = (await eventually(lambda: worker.logged("listening"), worker))["url"]
            began = worker.logged("reading_from")
            postgres.kill()
            await writer.append([event for _ in range(50) for event in history(random)])
            # The pauses before the 8th attempt add up to 8 seconds and more; the session is of 6.
            await eventually(lambda: (worker.logged("projection_waits") or {}).get("attempt", 0) >= 8, worker)
            assert worker.logged("reading_from") == began
            refused = await readiness(url)
            assert (refused.status_code, refused.json()["status"]) == (503, "not ready")
            assert "Postgres" in refused.json()["reason"]
            postgres.start()
            await caught_up(settings, worker)
        assert view(settings) == await folded_log(settings, codec)
        ready = await eventually(lambda: is_ready(url), worker)
        assert (ready["status"], ready["reason"], ready["partitions"]) == ("ready", None, [0, 1, 2])
        worker.stop()


async def test_a_position_past_the_logs_end_is_refused(settings: Settings, worker: Worker) -> None:
    codec = await prepare(settings)
    async with log_writer(settings, codec) as writer:
        worker.start()
        await writer.append([placed()], partition=0)
        await applied(settings, worker, 1)
    worker.stop()
    with psycopg.connect(settings.postgres_url) as connection:
        connection.execute("UPDATE orderlog.checkpoints SET next_offset = 77")
    worker.start()
    reason = (await said_why(worker))["reason"]
    assert reason.startswith("partition 0: the view goes on at offset 77, but the log ends at 1")


async def test_nothing_prepared_says_what_to_run(settings: Settings, worker: Worker) -> None:
    worker.start()
    await eventually(lambda: not worker.is_alive())
    assert "run: orderlog topics apply" in worker.log_file.read_text()


async def said_why(worker: Worker) -> dict[str, Any]:
    """The line that the process ended with. It must have ended by itself, with status 1."""
    assert await asyncio.to_thread(worker.wait, 60) == 1
    stopped = worker.logged("projection_stopped")
    assert stopped, worker.last_words()
    return stopped


async def is_ready(url: str) -> Any:
    """What readiness says once it is 200."""
    answer = await readiness(url)
    return answer.json() if answer.is_success else None


async def readiness(url: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(f"{url}/readyz")
