"""The real worker of the public events on real parts: what a subscriber finds in the topics, whatever happened."""

import asyncio
from pathlib import Path
from random import Random

import httpx
import psutil
import pytest

from eventlog.settings import Settings
from tests.kit.worlds import Worker, eventually, own_kafka, prepare
from tests.projections.histories import history
from tests.projections.log import LogWriter, log_writer
from tests.projections.parking_world import interleaved
from tests.projections.public.topics import agree, read_topics
from tests.projections.refold import next_offsets
from tests.projections.running import append, becomes, caught_up, metrics, offsets_of, running, url_of
from tests.projections.sabotage import (
    PUBLISHING_DEATHS,
    publisher_that_dies,
    publisher_that_suspends_itself,
    worker_in_another_group,
)
from tests.rebuild.kit import Rebuild, generations


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"watch_every_s": 0.5})


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> Worker:
    return Worker(settings, tmp_path / "worker.log", "public")


async def mixed(writer: LogWriter, orders: int, seed: int) -> None:
    """Append the lives of `orders`, side by side."""
    await writer.append(interleaved(Random(seed), orders))


async def reached(settings: Settings, worker: Worker, records: int) -> None:
    """Return once `records` of the log or more have been told."""
    await eventually(lambda: sum(next_offsets(settings).values()) >= records, worker)


async def test_every_kind_is_told_as_it_was_each_orders_in_sequence(settings: Settings, worker: Worker) -> None:
    codec = await prepare(settings, public=True)
    async with log_writer(settings, codec) as writer:
        with running(worker):
            await mixed(writer, 300, seed=1)
            await writer.elect(2, 0)
            await mixed(writer, 20, seed=2)
            await caught_up(settings, worker)
            assert await agree(settings, codec) == 0
            url = await url_of(worker)
            assert (await becomes(url, worker, "idle"))["status_code"] == 200
            counted = await metrics(url)
            published = {name: count for name, count in counted.items() if name.startswith("events_published_total")}
            assert len(published) == len({read.message.topic for read in await read_topics(settings)}) == 8
            assert sum(published.values()) == len(await read_topics(settings))
            worker.stop()
            assert worker.wait(0) == 0


async def test_killed_at_random_moments_it_loses_nothing_and_repeats_the_same(
    settings: Settings, worker: Worker
) -> None:
    codec, random = await prepare(settings, public=True), Random()
    async with log_writer(settings, codec) as writer:
        for seed in range(4):
            with running(worker):
                before = sum(next_offsets(settings).values())
                await mixed(writer, 1_000, seed)
                await reached(settings, worker, before + random.randint(1, 4_000))
        with running(worker):
            await caught_up(settings, worker)
    await agree(settings, codec)


@pytest.mark.parametrize("where", PUBLISHING_DEATHS)
async def test_killed_while_it_publishes_the_next_begins_again(
    settings: Settings, worker: Worker, tmp_path: Path, where: str
) -> None:
    codec, dying = await prepare(settings, public=True), publisher_that_dies(settings, tmp_path / "dying.log", where)
    async with log_writer(settings, codec) as writer:
        await mixed(writer, 30, seed=1)
        with running(dying):
            await eventually(lambda: not dying.is_alive())
        told = len(await read_topics(settings))
        with running(worker):
            await mixed(writer, 10, seed=2)
            await caught_up(settings, worker)
    assert await agree(settings, codec) == told
    assert (told == 0) == (where == "before anything is sent")


async def test_one_that_wakes_up_after_others_took_over_only_repeats(
    settings: Settings, worker: Worker, tmp_path: Path
) -> None:
    codec, asleep = await prepare(settings, public=True), publisher_that_suspends_itself(settings, tmp_path / "old.log")
    lives = [history(Random(seed)) for seed in range(30)]
    async with log_writer(settings, codec) as writer:
        await writer.append([event for life in lives for event in life[:2]])
        with running(asleep):
            process = psutil.Process(asleep.pid)
            await eventually(lambda: process.status() == psutil.STATUS_STOPPED)
            await writer.append([event for life in lives for event in life[2:]])
            with running(worker):
                await caught_up(settings, worker)
                before = len(await read_topics(settings))
                process.resume()
                assert await eventually(lambda: _are_more(settings, before), asleep)
                await mixed(writer, 20, seed=99)
                await caught_up(settings, worker)
    assert await agree(settings, codec) > 0


async def _are_more(settings: Settings, than: int) -> bool:
    return len(await read_topics(settings)) > than


async def test_two_that_both_have_every_partition_take_turns(
    settings: Settings, worker: Worker, tmp_path: Path
) -> None:
    codec = await prepare(settings, public=True)
    other = worker_in_another_group(settings, tmp_path / "other.log", "public")
    async with log_writer(settings, codec) as writer:
        with running(worker, other):
            await append(writer, 30)
            await eventually(lambda: offsets_of(worker) and offsets_of(other))
            for seed in range(2, 30):
                await mixed(writer, 50, seed)
            await caught_up(settings, worker)
            assert (worker.is_alive(), other.is_alive()) == (True, True)
    # Nobody was killed: the lock alone kept them from publishing the same.
    assert await agree(settings, codec) == 0


async def test_a_broker_that_is_killed_again_and_again(settings: Settings, tmp_path: Path) -> None:
    with own_kafka(settings, tmp_path) as (kafka, here):
        codec, worker = await prepare(here, public=True), Worker(here, tmp_path / "worker.log", "public")
        async with log_writer(here, codec) as writer:
            with running(worker):
                async with asyncio.TaskGroup() as group:
                    group.create_task(appended(writer, batches=30))
                    for _ in range(2):
                        await reached(here, worker, sum(next_offsets(here).values()) + 1)
                        kafka.kill()
                        await asyncio.to_thread(kafka.start)
                await caught_up(here, worker)
        await agree(here, codec)


async def appended(writer: LogWriter, batches: int) -> None:
    for seed in range(batches):
        await mixed(writer, 100, seed)


async def test_a_rebuild_of_a_view_publishes_nothing_and_there_is_none_of_what_was_told(
    settings: Settings, worker: Worker, tmp_path: Path
) -> None:
    codec, view = await prepare(settings, public=True), Worker(settings, tmp_path / "orders.log")
    async with log_writer(settings, codec) as writer:
        with running(worker, view):
            await mixed(writer, 50, seed=1)
            await caught_up(settings, worker, "public")
            await caught_up(settings, view, "orders")
            async with httpx.AsyncClient(base_url=await url_of(worker)) as client:
                refused = await client.post("/rebuild")
            assert (refused.status_code, "told once" in refused.json()["detail"]) == (422, True)
            rebuild = Rebuild(settings, tmp_path, "--all")
            rebuild.start()
            assert (await rebuild.done())["projection"] == "sales"
            assert generations(settings, "orders")[-1][1] == "live"
            assert [state for _, state in generations(settings, "public")] == ["live"]
            await mixed(writer, 20, seed=2)
            await caught_up(settings, worker, "public")
    assert await agree(settings, codec) == 0
