"""What cannot be published now, or not at all: waited out, or parked with its order and redriven in sequence."""

from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import psycopg
import pytest

from eventlog.partitioning import partition_of
from eventlog.settings import Settings
from schemas.events import Line, LineAdded, LineQuantityChanged, LineRemoved, OrderCancelled, OrderConfirmed
from tests.kit.worlds import Worker, eventually, own_kafka, prepare, standing_still
from tests.projections.histories import placed
from tests.projections.log import log_writer
from tests.projections.public.topics import agree, read_topics, set_config
from tests.projections.running import append, becomes, caught_up, dlq, execute, held_back, metrics, running, url_of


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"watch_every_s": 0.5, "produce_deadline_s": 2.0})


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> Worker:
    return Worker(settings, tmp_path / "worker.log", "public")


async def test_what_the_broker_refuses_is_waited_out_and_said(settings: Settings, worker: Worker) -> None:
    codec, order = await prepare(settings, public=True), placed(lines=tuple(Line(f"SKU-{n}", 1, 1) for n in range(200)))
    order_id = order.order_id
    await set_config(settings, "order.changed", max_message_bytes="3000")
    async with log_writer(settings, codec) as writer:
        with running(worker):
            url = await url_of(worker)
            await writer.append([order, *(LineRemoved(order_id, f"SKU-{n}") for n in range(198))])
            said = await becomes(url, worker, "waiting")
            assert (said["status_code"], "Message size too large" in said["reason"]) == (503, True)
            assert (await metrics(url))['retries_total{cause="kafka"}'] >= 1
            await set_config(settings, "order.changed", max_message_bytes="1000000")
            await caught_up(settings, worker)
            assert (await becomes(url, worker, "idle"))["status_code"] == 200
            assert await dlq(settings, "list") == {"parked": []}
    await agree(settings, codec)


async def test_a_broker_that_does_not_answer_is_waited_for_and_said(settings: Settings, tmp_path: Path) -> None:
    with own_kafka(settings, tmp_path) as (kafka, here):
        codec, worker = await prepare(here, public=True), Worker(here, tmp_path / "worker.log", "public")
        async with log_writer(here, codec) as writer:
            with running(worker):
                url = await url_of(worker)
                await append(writer, 5)
                await caught_up(here, worker)
                async with AsyncExitStack() as until_kafka_is_still:
                    # What is to be published has been read by then.
                    await until_kafka_is_still.enter_async_context(held_back(here))
                    await append(writer, 30, seed=2)
                    await eventually(lambda: waits_for_a_lock(here), worker)
                    with standing_still(kafka):
                        await until_kafka_is_still.aclose()
                        waits = await eventually(lambda: worker.logged("projection_waits"), worker)
                        assert "Kafka acknowledged no public event" in waits["reason"]
                        assert (await becomes(url, worker, "waiting"))["status_code"] == 503
                await caught_up(here, worker)
        await agree(here, codec)


def waits_for_a_lock(settings: Settings) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with psycopg.connect(settings.postgres_url) as connection:
        return connection.execute(query).fetchone() != (0,)


async def test_an_event_that_cannot_be_published_parks_its_order_alone(settings: Settings, worker: Worker) -> None:
    codec, order = await prepare(settings, public=True), placed()
    order_id = order.order_id
    home = partition_of(order_id, settings.partitions)
    async with log_writer(settings, codec) as writer:
        with running(worker):
            await url_of(worker)
            await append(writer, 20)
            first = await writer.append([order])
            # Both fit the log's schema; what the order comes to does not fit the public one's.
            at = await writer.append([LineAdded(order_id, "GOLD", 2_000_000_000, 2**62)])
            last = await writer.append([LineQuantityChanged(order_id, "GOLD", 1), OrderCancelled(order_id, None)])
            await append(writer, 20, seed=2)
            await caught_up(settings, worker)
            parked = (await dlq(settings, "list"))["parked"]
            assert [one["state"] for one in parked] == ["failed", "behind", "behind"]
            assert {one["projection"] for one in parked} == {"public"}
            aside = {f"{home}:{offset}" for offset in range(at, last + 1)}
            assert {one["position"] for one in parked} == aside
            assert first < at
            await agree(settings, codec, but=aside)
            (again,) = (await dlq(settings, "redrive", "--all", code=1))["outcomes"]
            assert (again["applied"], again["left"]) == (0, 3)
            assert await agree(settings, codec, but=aside) == 0


@pytest.mark.parametrize("over_http", [False, True])
async def test_a_redrive_publishes_in_sequence_and_what_comes_live_follows(
    settings: Settings, worker: Worker, over_http: bool
) -> None:
    codec, order = await prepare(settings, public=True), placed()
    order_id = order.order_id
    async with log_writer(settings, codec) as writer:
        with running(worker):
            url = await url_of(worker)
            few = "CHECK (jsonb_array_length(document->'lines') < 9)"
            execute(settings, f"ALTER TABLE views_g1.open_orders ADD CONSTRAINT few {few}")
            await writer.append([order])
            await writer.append([LineAdded(order_id, f"CUP-{n}", 1, 5) for n in range(10)])
            await append(writer, 20)
            await caught_up(settings, worker)
            events = [read.message.event for read in await read_topics(settings)]
            assert sorted(event.order_version for event in events if event.order_id == order_id) == [*range(1, 9)]
            assert len((await dlq(settings, "list"))["parked"]) == 3
            execute(settings, "ALTER TABLE views_g1.open_orders DROP CONSTRAINT few")
            rehearsed = await dlq(settings, "redrive", "--all", "--dry-run")
            assert [one["applied"] for one in rehearsed["outcomes"]] == [3]
            before = len(await read_topics(settings))
            if over_http:
                async with httpx.AsyncClient(base_url=url) as client:
                    done = (await client.post("/parked/redrive", json={"all": True})).json()
            else:
                done = await dlq(settings, "redrive", "--all")
            assert [(one["applied"], one["left"]) for one in done["outcomes"]] == [(3, 0)]
            assert len(await read_topics(settings)) == before + 3
            await writer.append([OrderConfirmed(order_id, 1), OrderCancelled(order_id, None)])
            await caught_up(settings, worker)
    assert await agree(settings, codec) == 0
