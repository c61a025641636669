"""Server-sent events of the real query API: nothing lost, nothing twice, whatever is cut in between."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from eventlog.partitioning import partition_of
from eventlog.settings import Settings
from query_side.changes import Changes
from query_side.wait import Reached
from schemas.events import LineQuantityChanged, OrderConfirmed, OrderEvent
from tests.kit.worlds import QueryApi, own_postgres
from tests.projections.histories import placed
from tests.query_side.served import View, assert_problem


@pytest.fixture
def api(settings: Settings, view: View, tmp_path: Path) -> Iterator[QueryApi]:
    process = QueryApi(settings, tmp_path / "query.log")
    process.start()
    yield process
    process.kill()


async def told(url: str, order_id: UUID, **headers: str) -> AsyncGenerator[dict[str, Any], None]:
    """The events of one connection, until it ends."""
    path = f"{url}/orders/{order_id}/changes"
    async with httpx.AsyncClient(timeout=60) as client, client.stream("GET", path, headers=headers) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        event: dict[str, Any] = {}
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name in ("id", "event", "data"):
                event[name] = value
            elif not line and event:
                yield event
                event = {}


async def test_a_client_that_comes_back_misses_nothing_and_gets_nothing_twice(
    api: QueryApi, settings: Settings, view: View
) -> None:
    order, random, last = placed(), Random(4), 120
    partition = partition_of(order.order_id, settings.partitions)
    await view.feed(partition, [order])

    async def keep_changing() -> None:
        version = 1
        while version < last:
            several = min(random.randint(1, 3), last - version)
            changes: list[OrderEvent] = [LineQuantityChanged(order.order_id, "TEA", n + 1) for n in range(several)]
            await view.feed(partition, [placed(), *changes])
            version += several

    feeding = asyncio.create_task(keep_changing())
    seen: list[dict[str, Any]] = []
    while len(seen) < last:
        resumed = {"Last-Event-ID": seen[-1]["id"]} if seen else {}
        reads = random.randint(1, 30)
        async with aclosing(told(api.url, order.order_id, **resumed)) as connection:
            async for event in connection:
                seen.append(event)
                reads -= 1
                if not reads or len(seen) == last:
                    break
    await feeding
    assert [int(event["id"]) for event in seen] == list(range(1, last + 1))
    bodies = [json.loads(event["data"]) for event in seen]
    assert [body["version"] for body in bodies] == list(range(1, last + 1))
    assert [event["event"] for event in seen] == [body["type"] for body in bodies]
    assert (seen[0]["event"], bodies[-1]["data"]["sku"]) == ("OrderPlaced", "TEA")


async def test_streams_end_when_the_process_is_to_stop(api: QueryApi, settings: Settings, view: View) -> None:
    order = placed()
    await view.feed(partition_of(order.order_id, settings.partitions), [order])
    begun = [asyncio.Event() for _ in range(3)]

    async def listen(first: asyncio.Event) -> list[str]:
        seen = []
        async for event in told(api.url, order.order_id):
            seen.append(event["event"])
            first.set()
        return seen  # the answer ended as a whole one does; a cut connection raises

    listening = [asyncio.create_task(listen(one)) for one in begun]
    await asyncio.gather(*(one.wait() for one in begun))
    await asyncio.to_thread(api.stop)
    assert await asyncio.gather(*listening) == [["OrderPlaced"]] * 3
    assert api.wait(0) == 0


async def test_many_listeners_share_one_connection_that_listens(api: QueryApi, settings: Settings, view: View) -> None:
    orders = [placed() for _ in range(12)]
    for order in orders:
        await view.feed(partition_of(order.order_id, settings.partitions), [order])
    streams = [told(api.url, order.order_id) for order in orders]
    assert [(await anext(stream))["id"] for stream in streams] == ["1"] * 12
    ours = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s"
    with psycopg.connect(settings.postgres_url) as connection:
        (connections,) = connection.execute(ours, ["orderlog-query"]).fetchone() or (0,)
    assert connections <= 4  # one that listens, and those of a pool that served the twelve
    for order in orders:
        partition = partition_of(order.order_id, settings.partitions)
        await view.feed(partition, [OrderConfirmed(order.order_id, 998)])
    assert [(await anext(stream))["id"] for stream in streams] == ["2"] * 12
    for stream in streams:
        await stream.aclose()


async def test_a_stream_lives_through_a_restart_of_postgres(settings: Settings, tmp_path: Path) -> None:
    with own_postgres(settings, tmp_path) as (postgres, settings):
        view, order = View(settings), placed()
        partition = partition_of(order.order_id, settings.partitions)
        await view.make()
        await view.feed(partition, [order])
        api = QueryApi(settings, tmp_path / "query.log")
        api.start()
        try:
            stream = told(api.url, order.order_id)
            assert (await anext(stream))["id"] == "1"
            postgres.kill()
            postgres.start()
            await view.feed(partition, [OrderConfirmed(order.order_id, 998)])
            assert (await anext(stream))["id"] == "2"
            await stream.aclose()
        finally:
            api.kill()


async def test_what_cannot_be_followed(client: httpx.AsyncClient, view: View) -> None:
    assert_problem(await client.get(f"/orders/{uuid4()}/changes"), 404, "order-not-found")
    answer = await client.get(f"/orders/{uuid4()}/changes", headers={"Last-Event-ID": "x"})
    body = assert_problem(answer, 422, "invalid-request")
    assert body["errors"][0]["field"] == "header.Last-Event-ID"


async def test_silence_is_broken_by_signs_of_life() -> None:
    reached = Reached("", "orders")
    reads: list[tuple[UUID, int]] = []

    async def nothing_new(key: tuple[UUID, int]) -> list[Any]:
        reads.append(key)
        return []

    changes = Changes(nothing_new, reached, partitions=3, heartbeat_s=0.001)
    stream = changes.follow(uuid4(), 5)
    assert [await anext(stream) for _ in range(3)] == [[], [], []]
    reached.end()
    assert [rows async for rows in stream] == []
    assert len(reads) >= 3
