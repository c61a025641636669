"""Poison in the traffic of a real worker: parked, announced, redriven by a person or a program."""

import signal
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from eventlog.partitioning import partition_of
from eventlog.settings import Settings
from local_stack.process import Child
from local_stack.services import environment_of, orderlog
from schemas.events import Line, OrderConfirmed, OrderPlaced
from tests.kit.worlds import Worker, eventually, prepare
from tests.projections.histories import placed
from tests.projections.log import log_writer
from tests.projections.refold import folded_log, view
from tests.projections.running import append, caught_up, dlq, execute, metrics, running, told, url_of


async def notices(settings: Settings, count: int) -> list[Any]:
    """The first `count` records of order.events.dlq."""
    where = TopicPartition(settings.topic("order.events.dlq"), 0)
    async with AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap) as consumer:
        consumer.assign([where])
        await consumer.seek_to_beginning(where)
        return [await consumer.getone() for _ in range(count)]


def only_cheap(settings: Settings) -> None:
    """What an administrator might do to a view: an event of an order that costs more cannot be applied."""
    execute(settings, "ALTER TABLE views_g1.orders ADD CONSTRAINT cheap CHECK (total < 1000000000)")


def expensive() -> OrderPlaced:
    return placed(lines=(Line("GOLD", 1, 2_000_000_000),))


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"watch_every_s": 0.5})


async def test_poison_in_the_traffic_parks_one_order_and_a_redrive_brings_it_back(
    settings: Settings, tmp_path: Path
) -> None:
    codec, worker, order = await prepare(settings), Worker(settings, tmp_path / "worker.log"), expensive()
    home = partition_of(order.order_id, settings.partitions)
    async with log_writer(settings, codec) as writer:
        with running(worker):
            url = await url_of(worker)
            only_cheap(settings)
            await append(writer, 30)
            at = await writer.append([order])
            await append(writer, 30, seed=2)
            stray = await writer.append_bytes(b"nonsense", (home + 1) % settings.partitions)
            await writer.append([OrderConfirmed(order.order_id, 2_000_000_000)])
            await append(writer, 30, seed=3)
            await caught_up(settings, worker)

            listed = (await dlq(settings, "list"))["parked"]
            assert {one["state"] for one in listed if one["order_id"]} == {"failed", "behind"}
            assert [one["order_id"] for one in listed].count(str(order.order_id)) == 2
            assert len(listed) == 3
            assert "CheckViolation" in (await dlq(settings, "show", f"{home}:{at}"))["parked"][0]["traceback"]
            assert (await metrics(url))["events_parked_total"] == 3
            await eventually(lambda: _parked_orders(url, 2), worker)
            sent = await notices(settings, 3)
            assert {str(order.order_id).encode(), None} == {one.key for one in sent}
            headers = {name: value.decode() for name, value in sent[0].headers if name.startswith("parked_")}
            assert (headers["parked_by"], headers["parked_generation"]) == ("orders", "1")
            assert {"parked_position", "parked_reason", "parked_attempts"} < set(headers)

            assert (await dlq(settings, "redrive", "--all", code=1))["outcomes"][0]["applied"] == 0
            execute(settings, "ALTER TABLE views_g1.orders DROP CONSTRAINT cheap")
            for words in (str(order.order_id), f"{home}:{at}", "failed", "behind", "check constraint"):
                assert words in await told(settings, "list")
            assert "Traceback" in await told(settings, "show", f"{home}:{at}")
            redrive = ("redrive", "--order", str(order.order_id))
            assert (await dlq(settings, *redrive, "--dry-run"))["outcomes"][0]["applied"] == 2
            assert "2 applied" in await told(settings, *redrive)
            assert "is not parked" in await dlq(settings, *redrive, code=2)
            where = f"{(home + 1) % settings.partitions}:{stray}"
            assert "--yes" in await dlq(settings, "discard", where, code=2)
            assert (await dlq(settings, "discard", where, "--yes"))["outcomes"][0]["discarded"] == 1
            assert await dlq(settings, "list") == {"parked": []}
            await append(writer, 5, seed=4)
            await caught_up(settings, worker)
    assert view(settings) == await folded_log(settings, codec, but={where})


async def _parked_orders(url: str, wanted: int) -> bool:
    return (await metrics(url)).get("parked_orders") == wanted


async def test_the_same_over_http(settings: Settings, tmp_path: Path) -> None:
    codec, worker, order = await prepare(settings), Worker(settings, tmp_path / "worker.log"), expensive()
    with running(worker):
        url = await url_of(worker)
        only_cheap(settings)
        async with log_writer(settings, codec) as writer:
            await writer.append([order, OrderConfirmed(order.order_id, 2_000_000_000)])
        await caught_up(settings, worker)
        async with httpx.AsyncClient(base_url=url) as client:
            parked = (await client.get("/parked")).json()["parked"]
            assert [one["state"] for one in parked] == ["failed", "behind"]
            whole = (await client.get(f"/parked/{parked[0]['position']}")).json()
            assert whole["headers"]["ce_type"] == "OrderPlaced"
            assert (await client.get("/parked/0:999")).status_code == 404
            refused = await client.post("/parked/discard", json={"order_id": str(order.order_id)})
            assert (refused.status_code, refused.json()["type"]) == (409, "urn:orderlog:problem:discard-refused")
            for wrong in ({}, {"all": True, "position": "0:1"}, {"order_id": "7"}, {"position": "x"}, {"every": 1}):
                assert (await client.post("/parked/redrive", json=wrong)).status_code == 422
            assert (await client.post("/parked/redrive", content="all")).status_code == 422
            again = (await client.post("/parked/redrive", json={"all": True})).json()["outcomes"]
            assert [(one["applied"], one["left"]) for one in again] == [(0, 2)]
            execute(settings, "ALTER TABLE views_g1.orders DROP CONSTRAINT cheap")
            done = (await client.post("/parked/redrive", json={"all": True})).json()["outcomes"]
            assert [(one["applied"], one["left"]) for one in done] == [(2, 0)]
    assert view(settings) == await folded_log(settings, codec)


async def test_killed_in_the_middle_of_a_redrive_everything_stays_parked(settings: Settings, tmp_path: Path) -> None:
    codec, worker, order = await prepare(settings), Worker(settings, tmp_path / "worker.log"), expensive()
    with running(worker):
        await url_of(worker)
        only_cheap(settings)
        async with log_writer(settings, codec) as writer:
            await writer.append([order, OrderConfirmed(order.order_id, 2_000_000_000)])
        await caught_up(settings, worker)
        execute(
            settings,
            "ALTER TABLE views_g1.orders DROP CONSTRAINT cheap",
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$",
            "CREATE TRIGGER slow BEFORE INSERT ON views_g1.orders FOR EACH ROW EXECUTE FUNCTION slow()",
        )
        command = orderlog("dlq", "redrive", "--all")
        redrive = Child("redrive", command, tmp_path / "redrive.log", environment=environment_of(settings))
        redrive.start()
        await eventually(lambda: _sleeping(settings), redrive)
        redrive.signal(signal.SIGKILL)
        redrive.kill()
        execute(settings, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
        execute(settings, "DROP TRIGGER slow ON views_g1.orders")
        assert [one["state"] for one in (await dlq(settings, "list"))["parked"]] == ["failed", "behind"]
        assert (await dlq(settings, "redrive", "--all"))["outcomes"][0]["applied"] == 2
    assert view(settings) == await folded_log(settings, codec)


def _sleeping(settings: Settings) -> bool:
    with psycopg.connect(settings.postgres_url, autocommit=True) as connection:
        return bool(connection.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'").fetchone())
