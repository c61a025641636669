"""Poison in the traffic of real sales workers: parked, killed in the middle, brought back late."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from subprocess import DEVNULL
from typing import Any
from uuid import UUID

import httpx
import pytest

from eventlog.partitioning import partition_of
from eventlog.settings import Settings
from local_stack.services import environment_of, orderlog
from schemas.events import OrderConfirmed
from tests.kit.worlds import Worker, eventually, own_postgres, prepare
from tests.projections.histories import placed
from tests.projections.log import log_writer
from tests.projections.running import append, becomes, dlq, metrics, readiness, running, told, url_of
from tests.projections.sabotage import DEATHS, sales_worker_that_dies
from tests.projections.sales_poison import (
    Unregistered,
    order_out_of_sequence,
    order_that_cannot_be_read,
    parked_rows,
    poisoned,
)
from tests.projections.sales_world import sales_world
from tests.projections.test_dead_letters import notices


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"watch_every_s": 0.5})


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> Iterator[Worker]:
    process = Worker(settings, tmp_path / "worker.log", "sales")
    yield process
    process.kill()


def lose_folders(settings: Settings) -> None:
    """Only Kafka has the tables now."""
    shutil.rmtree(settings.data_dir / "projections" / "sales", ignore_errors=True)


async def parked(settings: Settings) -> dict[str, dict[str, Any]]:
    """{position: what `orderlog dlq list` says of it}."""
    return {one["position"]: one for one in (await dlq(settings, "list"))["parked"]}


async def test_poison_parks_its_orders_alone_and_a_redrive_brings_them_back(settings: Settings, worker: Worker) -> None:
    codec = await prepare(settings)
    newer = Unregistered(settings, codec)
    async with sales_world(settings, codec) as world, log_writer(settings, codec) as writer:
        worker.start()
        url = await url_of(worker)
        await append(writer, 30)
        unread = await order_that_cannot_be_read(writer, newer)
        unordered, seventh = await order_out_of_sequence(writer)
        stray = f"2:{await writer.append_bytes(b'nonsense', 2)}"
        await append(writer, 30, seed=2)
        await world.caught_up(worker)
        waiting = await parked(settings)
        of = {order: [one["state"] for one in waiting.values() if one["order_id"] == order] for order in _ids(waiting)}
        assert of == {
            str(unread): ["failed", "behind"],
            str(unordered): ["failed", "behind", "behind"],
            None: ["failed"],
        }
        await world.check(but=waiting.keys())
        assert len(await notices(settings, 6)) == 6
        assert (await metrics(url))["events_parked_total"] == 6
        await eventually(lambda: _parked_orders(url, 3), worker)

        again = (await dlq(settings, "redrive", "--all", code=1))["outcomes"]
        assert {(one["applied"], one["left"]) for one in again} == {(0, 2), (0, 3), (0, 1)}
        assert {one["attempts"] for one in (await parked(settings)).values()} == {0, 2}
        newer.register()
        redrive = ("redrive", "--order", str(unread))
        assert (await dlq(settings, *redrive, "--dry-run"))["outcomes"][0]["applied"] == 2
        await world.check(but=waiting.keys())
        assert "2 applied" in await told(settings, *redrive)
        assert "is not parked" in await dlq(settings, *redrive, code=2)
        waiting = await parked(settings)
        await world.check(but=waiting.keys())
        assert "is part of the history" in await dlq(settings, "discard", "--order", str(unordered), "--yes", code=2)
        assert (await dlq(settings, "discard", seventh, "--yes"))["outcomes"][0]["applied"] == 2
        assert (await dlq(settings, "discard", stray, "--yes"))["outcomes"][0]["discarded"] == 1
        assert await parked(settings) == {}
        await eventually(lambda: _parked_orders(url, 0), worker)
        await append(writer, 10, seed=3)
        await world.caught_up(worker)
        await world.check(but={seventh, stray})
        worker.stop()
        lose_folders(settings)
        worker.start()
        await world.caught_up(worker)
        await world.check(but={seventh, stray})
        assert await parked(settings) == {}


def _ids(waiting: dict[str, dict[str, Any]]) -> set[Any]:
    return {one["order_id"] for one in waiting.values()}


async def _parked_orders(url: str, wanted: int) -> bool:
    return (await metrics(url)).get("parked_orders") == wanted


async def test_only_the_worker_of_the_partition_can_redrive(settings: Settings, worker: Worker) -> None:
    codec = await prepare(settings)
    async with sales_world(settings, codec) as world, log_writer(settings, codec) as writer:
        order, _ = await order_out_of_sequence(writer)
        worker.start()
        url = await url_of(worker)
        await world.caught_up(worker)
        async with httpx.AsyncClient(base_url=url) as client:
            assert len((await client.get("/parked")).json()["parked"]) == 3
            for wrong in ({}, {"all": True, "position": "0:1"}, {"partitions": "x"}, {"every": 1}):
                assert (await client.post("/parked/redrive", json=wrong)).status_code == 422
            assert (await client.post("/parked/redrive", json={"all": True})).json()["outcomes"][0]["left"] == 3
        other = Worker(settings, worker.log_file.parent / "other.log", "sales")
        with running(other):
            elsewhere, home = await url_of(other), partition_of(order, settings.partitions)
            await eventually(lambda: _shared(url, elsewhere), other)
            urls = [url, elsewhere] if home in await _partitions(url) else [elsewhere, url]
            assert (await eventually(lambda: _redriven(urls[0], order), other))["left"] == 3
            async with httpx.AsyncClient(base_url=urls[1]) as client:
                refused = await client.post("/parked/redrive", json={"order_id": str(order)})
            assert refused.status_code == 503
            assert refused.json()["detail"].startswith(f"this worker does not serve partition {home}")
            assert (await dlq(settings, "redrive", "--all", code=1))["outcomes"][0]["left"] == 3
        worker.kill()
        said = await told(settings, "redrive", "--all", code=1)
        assert ("does not answer" in said, said.count("\n")) == (True, 1)


async def _partitions(url: str) -> set[int]:
    said = await readiness(url)
    return set(said["partitions"]) if said["status_code"] == 200 else set()


async def ready(worker: Worker) -> None:
    """Return once the worker says that it is: before that it redrives nothing."""
    url = await url_of(worker)
    await eventually(lambda: _partitions(url), worker)


async def _shared(*urls: str) -> bool:
    """Whether each worker is ready and has some of the partitions."""
    return all([await _partitions(url) for url in urls])


async def _redriven(url: str, order: UUID) -> dict[str, Any] | None:
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{url}/parked/redrive", json={"order_id": str(order)})
    return dict(answer.json()["outcomes"][0]) if answer.status_code == 200 else None


@pytest.mark.parametrize("where", [where for where in DEATHS if "redriven" not in where])
async def test_killed_while_it_parks_each_event_counts_once(
    settings: Settings, worker: Worker, tmp_path: Path, where: str
) -> None:
    codec = await prepare(settings)
    newer = Unregistered(settings, codec)
    async with sales_world(settings, codec) as world, log_writer(settings, codec) as writer:
        await append(writer, 20)
        await order_that_cannot_be_read(writer, newer)
        await append(writer, 20, seed=2)
        await dies(sales_worker_that_dies(settings, tmp_path / "dying.log", where))
        if Random().random() < 0.5:
            lose_folders(settings)
        worker.start()
        await world.caught_up(worker)
        waiting = await parked(settings)
        assert sorted(one["state"] for one in waiting.values()) == ["behind", "failed"]
        await world.check(but=waiting.keys())
        newer.register()
        await ready(worker)
        assert (await dlq(settings, "redrive", "--all"))["outcomes"][0]["applied"] == 2
        await world.check()


@pytest.mark.parametrize("where", [where for where in DEATHS if "parked" not in where and "first" not in where])
async def test_killed_in_a_redrive_it_is_done_or_not_begun(
    settings: Settings, worker: Worker, tmp_path: Path, where: str
) -> None:
    codec = await prepare(settings)
    newer = Unregistered(settings, codec)
    async with sales_world(settings, codec) as world, log_writer(settings, codec) as writer:
        await append(writer, 20)
        await order_that_cannot_be_read(writer, newer)
        await append(writer, 20, seed=2)
        worker.start()
        await world.caught_up(worker)
        worker.stop()
        newer.register()
        dying = sales_worker_that_dies(settings, tmp_path / "dying.log", where)
        with running(dying):
            await ready(dying)
            assert "does not answer" in await told(settings, "redrive", "--all", code=1)
            await dies(dying, start=False)
        lose_folders(settings)
        worker.start()
        await world.caught_up(worker)
        assert len(await parked(settings)) == 2
        await ready(worker)
        await told(settings, "redrive", "--all")
        assert await parked(settings) == {}
        await world.check()
        await append(writer, 5, seed=3)
        await world.caught_up(worker)
        await world.check()


async def dies(dying: Worker, *, start: bool = True) -> None:
    """Return once it has killed itself."""
    if start:
        dying.start()
    try:
        await asyncio.to_thread(dying.wait, 60)
    finally:
        dying.kill()


async def test_killed_at_random_under_load_while_it_parks_and_redrives(settings: Settings, worker: Worker) -> None:
    codec, random = await prepare(settings), Random()
    async with sales_world(settings, codec) as world, log_writer(settings, codec) as writer:
        for crash in range(4):
            newer = Unregistered(settings, codec)
            worker.start()
            load = asyncio.create_task(poisoned(writer, newer, crash))
            await parked_rows(settings, worker, "true", random.randint(1, 15))
            newer.register()
            redriving = asyncio.create_task(_redrive_all(settings))
            await parked_rows(settings, worker, "resolved_at IS NOT NULL", random.randint(0, 5), redriving)
            worker.kill()
            await asyncio.gather(load, redriving)
            if crash == 2:
                lose_folders(settings)
        worker.start()
        await world.caught_up(worker)
        await ready(worker)
        # Before it, some may be listed that are in the table: killed before Postgres was told.
        await _redrive_all(settings)
        left = await parked(settings)
        assert len({one["order_id"] for one in left.values()}) == 4, "those out of sequence"
        await world.check(but=left.keys())


async def _redrive_all(settings: Settings) -> None:
    """Whatever comes of it."""
    process = await asyncio.create_subprocess_exec(
        *orderlog("dlq", "redrive", "--all"), env=environment_of(settings), stdout=DEVNULL, stderr=DEVNULL
    )
    assert await process.wait() in (0, 1, 2)


async def test_postgres_away_while_something_must_be_parked_is_waited_out(settings: Settings, tmp_path: Path) -> None:
    with own_postgres(settings, tmp_path) as (postgres, here):
        codec, worker = await prepare(here), Worker(here, tmp_path / "worker.log", "sales")
        async with log_writer(here, codec) as writer:
            with running(worker):
                url = await url_of(worker)
                await append(writer, 10)
                async with sales_world(here, codec) as world:
                    await world.caught_up(worker)
                postgres.kill()
                order = placed()
                await writer.append([order])
                writer.versions[str(order.order_id)] = 4
                await writer.append([OrderConfirmed(order.order_id, 998)])
                await append(writer, 10, seed=2)
                said = await becomes(url, worker, "waiting")
                assert (said["status_code"], "Postgres" in said["reason"]) == (503, True)
                postgres.start()
                async with sales_world(here, codec) as world:
                    await world.caught_up(worker)
                    waiting = await parked(here)
                    assert [one["state"] for one in waiting.values()] == ["failed"]
                    await world.check(but=waiting.keys())
