"""Real sales workers on a real broker and Postgres: killed, suspended, robbed of their folder, taking turns."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from eventlog.settings import Settings
from query_side.stats import Sums
from schemas.codec import Codec
from schemas.events import OrderConfirmed
from tests.kit.worlds import Worker, eventually, own_kafka, prepare
from tests.projections.histories import history, placed
from tests.projections.log import LogWriter, log_writer
from tests.projections.refold import next_offsets
from tests.projections.running import append, becomes, caught_up, metrics, running, url_of
from tests.projections.sabotage import sales_worker_that_cannot_read_its_changelog
from tests.projections.sales_world import sales_world
from tests.projections.test_failure_policy import NewerWriter
from tests.projections.test_worker import said_why


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> Iterator[Worker]:
    process = Worker(settings, tmp_path / "worker.log", "sales")
    yield process
    process.kill()


@pytest.fixture
def other(settings: Settings, tmp_path: Path) -> Iterator[Worker]:
    process = Worker(settings, tmp_path / "other.log", "sales")
    yield process
    process.kill()


@asynccontextmanager
async def steady_load(writer: LogWriter) -> AsyncIterator[None]:
    """Append whole histories, some hundred events a second, for as long as this is entered."""

    async def append() -> None:
        random = Random(3)
        while not ending.is_set():
            await writer.append([event for _ in range(20) for event in history(random)])
            with suppress(TimeoutError):
                await asyncio.wait_for(ending.wait(), 0.15)

    ending = asyncio.Event()
    task = asyncio.create_task(append())
    try:
        yield
    finally:
        ending.set()
        await task


def any_time_of_a_week() -> datetime:
    """Events that come late, and in any order."""
    return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=Random().randint(0, 7 * 86_400))


async def applied(settings: Settings, process: Worker, records: int) -> None:
    """Return once the tables hold `records` records or more."""
    await eventually(lambda: sum(next_offsets(settings).values()) >= records, process)


def folders(settings: Settings) -> list[Path]:
    """The data folders of the world's sales workers."""
    return sorted((settings.data_dir / "projections" / "sales").iterdir())


async def test_killed_at_random_moments_its_folder_deleted_the_sums_are_right(
    settings: Settings, worker: Worker
) -> None:
    codec, random = await prepare(settings), Random()
    async with sales_world(settings, codec) as world:
        async with log_writer(settings, codec) as writer, steady_load(writer):
            writer.now = any_time_of_a_week
            for crash in range(3):
                worker.start()
                before = sum(next_offsets(settings).values())
                await applied(settings, worker, before + random.randint(1, 1_500))
                worker.kill()
                if crash == 1:
                    shutil.rmtree(folders(settings)[0])
            worker.start()
        await world.caught_up(worker)
        await world.check()
        # What is in Kafka alone must come to the same.
        worker.kill()
        shutil.rmtree(folders(settings)[0])
        worker.start()
        await world.caught_up(worker)
        await world.check()
    worker.stop()
    assert worker.wait(0) == 0


async def test_workers_that_join_leave_and_die_never_show_a_part(
    settings: Settings, worker: Worker, other: Worker
) -> None:
    codec, seen = await prepare(settings), list[tuple[str, Sums]]()
    async with sales_world(settings, codec) as world:
        watching = asyncio.create_task(world.watch(("status", "customer"), seen))
        async with log_writer(settings, codec) as writer, steady_load(writer):
            worker.start()
            await applied(settings, worker, 1)
            other.start()
            await eventually(lambda: _partitions(other) and len(_partitions(worker)) < 3, other)
            assert _partitions(other) | _partitions(worker) == {0, 1, 2}
            worker.stop()
            assert worker.wait(0) == 0
            await eventually(lambda: _partitions(other) == {0, 1, 2}, other)
            worker.start()
            await eventually(lambda: _partitions(worker), worker)
            other.kill()
            await eventually(lambda: _partitions(worker) == {0, 1, 2}, worker)
        await world.caught_up(worker)
        watching.cancel()
        await world.check()
        await world.check_all(Random(1).sample(seen, min(len(seen), 40)))
    assert len(seen) > 10


async def test_a_worker_that_was_suspended_cannot_overwrite_its_successors_rows(
    settings: Settings, worker: Worker, other: Worker
) -> None:
    codec = await prepare(settings)
    async with sales_world(settings, codec) as world:
        async with log_writer(settings, codec) as writer, steady_load(writer):
            worker.start()
            await applied(settings, worker, 1_000)
            worker.signal(signal.SIGSTOP)
            other.start()
            await eventually(lambda: _partitions(other) == {0, 1, 2}, other)
            await applied(settings, other, sum(next_offsets(settings).values()) + 1)
            worker.signal(signal.SIGCONT)
        await world.caught_up(other)
        await world.check()
        for process in (worker, other):
            process.kill()
        # Only the changelog is left, and it must not have kept a row of the suspended one.
        for folder in folders(settings):
            shutil.rmtree(folder)
        other.start()
        await world.caught_up(other)
        await world.check()


async def test_the_broker_killed_and_back(settings: Settings, tmp_path: Path) -> None:
    with own_kafka(settings, tmp_path) as (kafka, here):
        worker, codec = Worker(here, tmp_path / "worker.log", "sales"), await prepare(here)
        async with sales_world(here, codec) as world:
            await _append(here, codec, 4_000)
            with running(worker):
                await applied(here, worker, 1)
                kafka.kill()
                kafka.start()
                await _append(here, codec, 1_000)
                await world.caught_up(worker)
                await world.check()


async def test_a_worker_without_partitions_is_idle_and_takes_over(settings: Settings, tmp_path: Path) -> None:
    """It looks at what the others announced: it is not stuck because it has nothing to move."""
    settings = settings.model_copy(update={"partitions": 1, "watch_every_s": 0.3})
    codec = await prepare(settings)
    busy, standby = (Worker(settings, tmp_path / f"{name}.log", "sales") for name in ("busy", "standby"))
    async with log_writer(settings, codec) as writer:
        await append(writer, 20)
        with running(busy):
            await caught_up(settings, busy)
            with running(standby):
                url = await url_of(standby)
                assert (await becomes(url, standby, "idle"))["partitions"] == []
                assert "lag_events" not in " ".join(await metrics(url)), "it has no partition to tell of"
                busy.kill()
                await append(writer, 20, seed=2)
                await caught_up(settings, standby)
                assert (await becomes(url, standby, "idle"))["partitions"] == [0]


async def test_a_recovery_that_hangs_ends_the_process_and_says_so(settings: Settings, tmp_path: Path) -> None:
    codec, worker = await prepare(settings), Worker(settings, tmp_path / "worker.log", "sales")
    async with sales_world(settings, codec) as world:
        await _append(settings, codec, 200)
        with running(worker):
            await world.caught_up(worker)
        for folder in folders(settings):
            shutil.rmtree(folder)
        impatient = settings.model_copy(update={"assignment_within_s": 15.0, "watch_every_s": 0.5})
        hanging = sales_worker_that_cannot_read_its_changelog(impatient, tmp_path / "hanging.log")
        with running(hanging):
            reason = (await said_why(hanging))["reason"]
        assert reason == "stuck: for 15 s no row came of the tables' changelogs, though their recovery is not over"
        with running(worker):
            await world.caught_up(worker)
            await world.check()


async def test_a_schema_that_is_new_to_the_worker_is_fetched(settings: Settings, worker: Worker) -> None:
    codec, order = await prepare(settings), placed()
    async with sales_world(settings, codec) as world, log_writer(settings, codec) as writer:
        worker.start()
        await append(writer, 5)
        await writer.append([order])
        await world.caught_up(worker)
        newer = NewerWriter(codec, settings)
        await writer.append_encoded(newer.encode(OrderConfirmed(order.order_id, 998)), order.order_id, 2)
        await append(writer, 5, seed=2)
        await world.caught_up(worker)
        await world.check()
        assert (await metrics(await url_of(worker)))["events_parked_total"] == 0


async def test_the_changelog_is_compacted_and_nothing_else(settings: Settings, worker: Worker) -> None:
    await prepare(settings)
    worker.start()
    await eventually(lambda: worker.logged("listening"), worker)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    try:
        (name,) = (one for one in await admin.list_topics() if one.startswith(f"{settings.topic_prefix}projection-"))
        (described,) = await admin.describe_topics([name])
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    finally:
        await admin.close()
    config = {entry[0]: entry[1] for entry in answer.resources[0][4]}
    assert len(described["partitions"]) == settings.partitions
    assert config["cleanup.policy"] == "compact"
    assert config["min.insync.replicas"] == str(settings.min_insync_replicas)
    assert {len(partition["replicas"]) for partition in described["partitions"]} == {settings.replication_factor}


def _partitions(worker: Worker) -> set[int]:
    """What it said it reads last."""
    return {int(partition) for partition in (worker.logged("reading_from") or {}).get("offsets", {})}


async def _append(settings: Settings, codec: Codec, orders: int) -> None:
    random = Random(orders)
    async with log_writer(settings, codec) as writer:
        await writer.append([event for _ in range(orders) for event in history(random)])
