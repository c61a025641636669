"""The `orders` view rebuilt on real processes, under load, killed, cancelled, taken back."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from eventlog.settings import Settings
from tests.kit.worlds import QueryApi, Worker, prepare
from tests.projections.log import log_writer
from tests.projections.refold import folded_log, view
from tests.projections.running import caught_up
from tests.rebuild.kit import Reader, Rebuild, follows, generations, steadily, traffic


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> Iterator[Worker]:
    process = Worker(settings, tmp_path / "worker.log")
    yield process
    process.kill()


@pytest.fixture
def query_api(settings: Settings, tmp_path: Path) -> Iterator[QueryApi]:
    process = QueryApi(settings, tmp_path / "query-api.log")
    yield process
    process.kill()


async def test_readers_and_live_workers_go_on(
    settings: Settings, worker: Worker, query_api: QueryApi, tmp_path: Path
) -> None:
    codec = await prepare(settings)
    async with log_writer(settings, codec) as writer:
        worker.start()
        await traffic(writer, 600)
        await caught_up(settings, worker)
        order_id = next(iter(view(settings)))
        await asyncio.to_thread(query_api.start)
        readers = [
            Reader(query_api.url, path) for path in (f"/orders/{order_id}", "/orders?limit=20", "/orders?status=paid")
        ]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(reader.poll()) for reader in readers]
            tasks.append(group.create_task(steadily(writer, Random(3))))
            rebuild = Rebuild(settings, tmp_path, "orders", "--jobs", "2")
            rebuild.start()
            done = await rebuild.done()
            await follows(worker, 2)
            for task in tasks:
                task.cancel()
    assert (done["generation"], done["schema"]) == (2, "views_g2")
    assert generations(settings) == [(1, "retired"), (2, "live")]
    assert all(reader.answers for reader in readers)
    await caught_up(settings, worker)
    assert view(settings) == await folded_log(settings, codec)
    phases = list(dict.fromkeys(line["phase"] for line in rebuild.lines() if "phase" in line))
    assert phases == ["events", "indexes", "swap", "hand-over", "done"]
    percents = [line["percent"] for line in rebuild.lines() if "phase" in line]
    assert percents[-1] > 99
