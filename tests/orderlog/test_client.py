"""The client library against the real services: through a kill, and reading what it wrote."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from eventlog.settings import Settings
from orderlog.client import OrderlogClient, Refused
from tests.kit import requests
from tests.kit.worlds import CommandApi, QueryApi, Worker, eventually, log_of, prepare
from tests.projections.refold import next_offsets


@pytest.fixture
async def command_api(settings: Settings, tmp_path: Path) -> CommandApi:
    await prepare(settings)
    return CommandApi(settings, tmp_path / "command.log")


@pytest.fixture
def system(
    settings: Settings, command_api: CommandApi, tmp_path: Path
) -> Iterator[tuple[CommandApi, QueryApi, Worker]]:
    """All three services, started."""
    worker, query_api = Worker(settings, tmp_path / "worker.log"), QueryApi(settings, tmp_path / "query.log")
    command_api.start()
    worker.start()
    query_api.start()
    yield command_api, query_api, worker
    for process in (query_api, worker, command_api):
        process.kill()


async def test_it_reads_what_it_wrote(system: tuple[CommandApi, QueryApi, Worker]) -> None:
    command_api, query_api, _ = system

    def shop() -> None:
        with OrderlogClient(command_api.url, query_api.url) as client:
            for n in range(1, 21):
                placed = client.command("POST", "/orders", requests.order(customer_id="ada"))
                order = f"/orders/{placed['order_id']}"
                assert client.query(order)["status"] == "open"
                client.command("POST", f"{order}/confirm", if_version=1)
                assert client.query(order)["version"] == 2
                assert client.query("/customers/ada")["orders"] == n
            assert client.query("/orders", status="confirmed", limit=5)["total"] == {"count": 20, "exact": True}
            with pytest.raises(Refused, match="is at version 2") as refused:
                client.command("POST", f"{order}/confirm", if_version=1)
            assert (refused.value.status, refused.value.problem["current_version"]) == (412, 2)
            with pytest.raises(Refused) as missing:
                client.query(f"/orders/{uuid4()}")
            assert missing.value.status == 404

    await asyncio.to_thread(shop)


async def test_a_killed_command_api_costs_it_nothing_but_time(
    system: tuple[CommandApi, QueryApi, Worker], settings: Settings
) -> None:
    command_api, query_api, _ = system
    codec = await prepare(settings)
    placed, enough = [], threading.Event()

    def shop() -> None:
        with OrderlogClient(command_api.url, query_api.url, patience_s=60) as client:
            while not enough.is_set():
                placed.append(client.command("POST", "/orders", requests.order()))
            last = placed[-1]
            assert client.query(f"/orders/{last['order_id']}")["version"] == 1

    shopping = asyncio.create_task(asyncio.to_thread(shop))
    for _ in range(2):
        so_far = len(placed)
        await eventually(lambda so_far=so_far: len(placed) > so_far + 20)  # type: ignore[misc]
        command_api.kill()
        command_api.start()
    so_far = len(placed)
    await eventually(lambda: len(placed) > so_far)
    enough.set()
    await shopping
    orders = [one.metadata.subject for one in await log_of(settings, codec) if one.metadata.version == 1]
    assert sorted(orders) == sorted(answer["order_id"] for answer in placed)


async def test_a_view_that_stands_still_is_told_in_the_end(
    system: tuple[CommandApi, QueryApi, Worker], settings: Settings
) -> None:
    command_api, query_api, worker = system
    worker.kill()

    def shop() -> None:
        with OrderlogClient(command_api.url, query_api.url, patience_s=0.1) as client:
            placed = client.command("POST", "/orders", requests.order())
            with pytest.raises(Refused) as refused:
                client.query(f"/orders/{placed['order_id']}")
            assert refused.value.problem["type"] == "urn:orderlog:problem:position-not-reached"
        with (
            OrderlogClient("http://127.0.0.1:9", query_api.url, patience_s=0.1) as client,
            pytest.raises(httpx.ConnectError),
        ):
            client.command("POST", "/orders", requests.order())

    await asyncio.to_thread(shop)
    assert next_offsets(settings) is not None
