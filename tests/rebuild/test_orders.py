"""The `orders` view rebuilt on real processes, under load, killed, cancelled, taken back."""

import asyncio
from pathlib import Path
from random import Random

import psycopg

from eventlog.settings import Settings
from tests.kit.worlds import QueryApi, Worker, eventually, prepare
from tests.projections.log import log_writer
from tests.projections.refold import folded_log, view
from tests.projections.running import caught_up, held_back
from tests.rebuild.kit import (
    Reader,
    Rebuild,
    descendants,
    follows,
    generations,
    groups,
    positions,
    rebuilt,
    said_phase,
    schemas,
    steadily,
    traffic,
)


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
        paths = (f"/orders/{order_id}", "/orders?limit=20", "/orders?status=paid")
        readers = [Reader(query_api.url, path) for path in paths]
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


async def test_killed_at_any_moment_it_goes_on(settings: Settings, worker: Worker, tmp_path: Path) -> None:
    """With -9, whatever it is doing; its workers are gone with it, and what they did is not done again."""
    codec, random = await prepare(settings), Random()
    async with log_writer(settings, codec) as writer:
        worker.start()
        await traffic(writer, 2_000)
        await caught_up(settings, worker)
        # The live view's positions are held, so that no rebuild gets to its end before it is killed.
        async with held_back(settings):
            for _ in range(3):
                before = sum(positions(settings, 2).values())
                await killed_after(settings, tmp_path, before + random.randint(1, 2_500))
                assert sum(positions(settings, 2).values()) >= before
                assert view(settings) == await folded_log(settings, codec)
        rebuild = Rebuild(settings, tmp_path, "orders")
        rebuild.start()
        assert (await rebuild.done())["generation"] == 2
        await follows(worker, 2)
        await traffic(writer, 20, seed=8)
    await caught_up(settings, worker)
    assert generations(settings) == [(1, "retired"), (2, "live")]
    assert view(settings) == await folded_log(settings, codec)


async def killed_after(settings: Settings, folder: Path, records: int) -> None:
    """Start a rebuild, kill it once generation 2 has so many records, and see its workers end."""
    rebuild = Rebuild(settings, folder, "orders", "--jobs", "2")
    rebuild.start()
    await eventually(lambda: sum(positions(settings, 2).values()) >= records, rebuild)
    crew = descendants(rebuild)
    rebuild.kill_alone()
    await eventually(lambda: not any(process.is_running() for process in crew))


async def test_one_at_a_time_and_given_up_without_a_trace(settings: Settings, worker: Worker, tmp_path: Path) -> None:
    codec = await prepare(settings)
    async with log_writer(settings, codec) as writer:
        worker.start()
        await traffic(writer, 400)
        await caught_up(settings, worker)
        # The live view's positions are held, so that the rebuild cannot get to its end.
        async with held_back(settings):
            rebuild = Rebuild(settings, tmp_path, "orders", "--jobs", "1")
            rebuild.start()
            await said_phase(rebuild, "swap")
            again = Rebuild(settings, tmp_path, "orders")
            again.start()
            said = await again.refused(1)
            assert f"process {rebuild.pid} on " in said
            assert "is at it already, 100.0 %" in said
            back = Rebuild(settings, tmp_path, "orders", "--rollback")
            back.start()
            await back.refused(1)
            cancel = Rebuild(settings, tmp_path, "orders", "--cancel")
            cancel.start()
            assert await cancel.done() == {"generation": 2}
            assert "was cancelled" in await rebuild.refused(1)
    assert generations(settings) == [(1, "live")]
    assert schemas(settings) == {"views_g1"}
    assert await groups(settings) == {"projection-orders"}
    assert not list(settings.data_dir.rglob("building-*"))
    nothing = Rebuild(settings, tmp_path, "orders", "--cancel")
    nothing.start()
    assert "nothing rebuilds orders" in await nothing.refused(2)


async def test_a_dead_rebuild_is_given_up_too(settings: Settings, worker: Worker, tmp_path: Path) -> None:
    codec = await prepare(settings)
    async with log_writer(settings, codec) as writer:
        worker.start()
        await traffic(writer, 100)
        await caught_up(settings, worker)
        async with held_back(settings):
            rebuild = Rebuild(settings, tmp_path, "orders", "--jobs", "1")
            rebuild.start()
            await said_phase(rebuild, "swap")
            rebuild.kill_alone()
    watch = Rebuild(settings, tmp_path, "orders", "--watch")
    watch.start()
    assert "nobody is at it any more" in await watch.refused(1)
    cancel = Rebuild(settings, tmp_path, "orders", "--cancel")
    cancel.start()
    await cancel.done()
    assert schemas(settings) == {"views_g1"}


async def test_taken_back_and_dropped_in_the_end(settings: Settings, worker: Worker, tmp_path: Path) -> None:
    codec = await prepare(settings)
    async with log_writer(settings, codec) as writer:
        worker.start()
        await traffic(writer, 200)
        await caught_up(settings, worker)
        await rebuilt(settings, tmp_path, worker, 2, "orders")
        await traffic(writer, 200, seed=8)  # only generation 2 sees it
        await caught_up(settings, worker)
        await rebuilt(settings, tmp_path, worker, 1, "orders", "--rollback")
        assert generations(settings) == [(1, "live"), (2, "retired")]
        assert view(settings) == await folded_log(settings, codec)
        await rebuilt(settings, tmp_path, worker, 3, "orders")
        # One earlier generation is kept, and the others are gone.
        await rebuilt(settings, tmp_path, worker, 4, "orders")
        assert generations(settings) == [(3, "retired"), (4, "live")]
        worker.stop()
        # Its time is over: a worker drops it.
        with psycopg.connect(settings.postgres_url) as connection:
            connection.execute("UPDATE orderlog.generations SET changed_at = now() - interval '4 days'")
        worker.start()
        await eventually(lambda: generations(settings) == [(4, "live")], worker)
    await eventually(lambda: schemas(settings) == {"views_g4"}, worker)
    assert await groups(settings) == {"projection-orders-v4"}
    back = Rebuild(settings, tmp_path, "orders", "--rollback")
    back.start()
    assert "no earlier generation" in await back.refused(2)
    assert view(settings) == await folded_log(settings, codec)
