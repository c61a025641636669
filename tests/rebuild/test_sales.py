"""The `sales` tables rebuilt: made beside, swapped, taken over by the service's workers with what was made."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from eventlog.settings import Settings
from eventlog.topic_admin import admin_client
from tests.kit.worlds import QueryApi, Worker, eventually, prepare
from tests.projections.log import log_writer
from tests.projections.sales_world import sales_world
from tests.rebuild.kit import Reader, Rebuild, follows, generations, groups, rebuilt, steadily, traffic


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> Iterator[Worker]:
    process = Worker(settings, tmp_path / "worker.log", "sales")
    yield process
    process.kill()


async def changelogs(settings: Settings) -> set[str]:
    """The generations that have a changelog topic, by how its name begins."""
    async with admin_client(settings) as admin:
        topics = await admin.list_topics()
    prefix = f"{settings.topic_prefix}projection-"
    return {name.removeprefix(prefix).split("-sales-")[0] for name in topics if name.startswith(prefix)}


async def test_readers_and_live_workers_go_on(
    settings: Settings, worker: Worker, query_api: QueryApi, tmp_path: Path
) -> None:
    codec = await prepare(settings)
    async with log_writer(settings, codec) as writer, sales_world(settings, codec) as sales:
        worker.start()
        await traffic(writer, 400)
        await sales.caught_up(worker)
        await asyncio.to_thread(query_api.start_only)
        reader = Reader(query_api.url, "/stats/orders-by-status")
        await eventually(lambda: reader.is_served(), query_api)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(reader.poll()), group.create_task(steadily(writer, Random(3)))]
            rebuild = Rebuild(settings, tmp_path, "sales", "--jobs", "2")
            rebuild.start()
            done = await rebuild.done()
            await follows(worker, 2)
            answers = reader.answers
            await eventually(lambda: reader.answers > answers + 5, worker)
            for task in tasks:
                task.cancel()
        assert done["generation"] == 2
        assert generations(settings, "sales") == [(1, "retired"), (2, "live")]
        await sales.caught_up(worker)
        await sales.check()
        # The tables were not recovered from their changelog, but taken over from those who made them.
        assert worker.logged("table_inherited")
        # Killed and its folder gone, it finds everything in the new changelog.
        await rebuilt(settings, tmp_path, worker, 1, "sales", "--rollback")
        await sales.caught_up(worker)
        await sales.check()
        await rebuilt(settings, tmp_path, worker, 3, "sales")
        await rebuilt(settings, tmp_path, worker, 4, "sales")
        await sales.check()
    assert generations(settings, "sales") == [(3, "retired"), (4, "live")]
    assert await changelogs(settings) == {"sales-v3", "sales-v4"}
    assert await groups(settings) == {"projection-sales-v3", "projection-sales-v4"}
