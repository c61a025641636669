"""The statistics over HTTP: on a real worker's tables, and when they cannot be whole."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psycopg
import pytest

from eventlog.positions import Position
from eventlog.settings import Settings
from query_side.bootstrap import build_app
from schemas.events import (
    Line,
    LinesReturned,
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderEvent,
    OrderPlaced,
    OrderShipped,
    PaymentRecorded,
    PaymentRefunded,
    ReturnedLine,
)
from tests.kit.worlds import Worker, eventually, prepare
from tests.projections.histories import placed
from tests.projections.log import log_writer
from tests.query_side.served import assert_problem, client_of

NOON = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
NEXT_DAY = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)


@pytest.fixture
async def worker(settings: Settings, tmp_path: Path) -> AsyncIterator[Worker]:
    process = Worker(settings, tmp_path / "worker.log", "sales")
    yield process
    process.kill()


def bought(order: OrderPlaced, paid: int) -> list[OrderEvent]:
    """What makes `order` a delivered one."""
    order_id = order.order_id
    confirmed = OrderConfirmed(order_id, paid)
    shipped = OrderShipped(order_id, "DHL", "1")
    return [order, confirmed, PaymentRecorded(order_id, paid, "a"), shipped, OrderDelivered(order_id)]


async def test_every_statistic_and_what_it_refuses(settings: Settings, worker: Worker) -> None:
    codec = await prepare(settings)
    settings.position_wait_s = 30.0
    tea, cups = placed(customer_id="ada"), placed(customer_id="bob", lines=(Line("CUP", 3, 1_000), Line("TEA", 1, 500)))
    async with log_writer(settings, codec) as writer, client_of(build_app(settings)) as http:
        worker.start()
        writer.now = lambda: NOON
        await writer.append(bought(tea, 998), partition=0)
        await writer.append(bought(cups, 3_500), partition=1)
        off = placed(customer_id="ada")
        await writer.append([off, OrderCancelled(off.order_id, None)], partition=2)
        writer.now = lambda: NEXT_DAY
        back = LinesReturned(cups.order_id, (ReturnedLine("CUP", 2),), None)
        await writer.append([back, PaymentRefunded(cups.order_id, 2_000)], partition=1)
        await the_numbers(http)
        await read_your_writes(http, settings)
        await the_refusals(http)


async def the_numbers(http: httpx.AsyncClient) -> None:
    everything = {"Orderlog-Min-Position": "0:4,1:6,2:1"}
    answer = await http.get("/stats/orders-by-status", headers=everything)
    assert (answer.status_code, answer.headers["orderlog-position"]) == (200, "0:4,1:6,2:1")
    counts = {one["status"]: one["orders"] for one in answer.json()["statuses"]}
    assert counts == dict.fromkeys(("open", "confirmed", "rejected", "paid", "shipped", "returned"), 0) | {
        "delivered": 2,
        "cancelled": 1,
    }
    days = (await http.get("/stats/revenue")).json()
    first = {"currency": "EUR", "orders": 3, "payments": 4_498, "refunds": 0, "revenue": 4_498}
    second = {"currency": "EUR", "orders": 0, "payments": 0, "refunds": 2_000, "revenue": -2_000}
    starts = "2026-03-01T00:00:00.000000Z", "2026-03-02T00:00:00.000000Z"
    assert days == {"by": "day", "revenue": [{"start": starts[0], **first}, {"start": starts[1], **second}]}
    minutes = await http.get("/stats/revenue", params={"by": "minute", "from": "2026-03-01T13:00:00+01:00"})
    assert [one["start"][:16] for one in minutes.json()["revenue"]] == ["2026-03-01T12:00", "2026-03-02T00:00"]
    hours = {"by": "hour", "from": NOON.isoformat(), "to": NEXT_DAY.isoformat(), "currency": "EUR"}
    assert (await http.get("/stats/revenue", params=hours)).json()["revenue"] == []
    skus = (await http.get("/stats/top-skus", params={"limit": 1})).json()["skus"]
    assert skus == [{"sku": "TEA", "currency": "EUR", "pieces": 3, "revenue": 1_498}]
    by_revenue = await http.get("/stats/top-skus", params={"by": "revenue", "currency": "EUR"})
    assert [(one["sku"], one["revenue"]) for one in by_revenue.json()["skus"]] == [("TEA", 1_498), ("CUP", 1_000)]
    customers = (await http.get("/stats/top-customers")).json()["customers"]
    assert [(one["customer_id"], one["orders"], one["revenue"]) for one in customers] == [
        ("ada", 2, 998),
        ("bob", 1, 1_500),
    ]
    best = await http.get("/stats/top-customers", params={"by": "revenue", "currency": "EUR"})
    assert [one["customer_id"] for one in best.json()["customers"]] == ["bob", "ada"]


async def read_your_writes(http: httpx.AsyncClient, settings: Settings) -> None:
    settings.position_wait_s = 0.05
    headers = {"Orderlog-Min-Position": str(Position(0, 99))}
    answer = await http.get("/stats/top-skus", headers=headers)
    assert_problem(answer, 503, "position-not-reached")
    assert answer.headers["retry-after"] == "1"


async def the_refusals(http: httpx.AsyncClient) -> None:
    for path, parameter in (
        ("/stats/revenue?by=year", "query.by"),
        ("/stats/revenue?from=2026-03-01", "query.from"),
        ("/stats/revenue?currency=euro", "query.currency"),
        ("/stats/revenue?until=2026-03-01T00:00:00Z", "query.until"),
        ("/stats/top-skus?limit=0", "query.limit"),
        ("/stats/top-skus?by=revenue", "query.currency"),
        ("/stats/top-customers?by=pieces", "query.by"),
        ("/stats/orders-by-status?limit=3", "query.limit"),
    ):
        body = assert_problem(await http.get(path), 422, "invalid-request")
        assert parameter in [error["field"] for error in body["errors"]], path


async def test_whole_or_not_at_all(settings: Settings, worker: Worker) -> None:
    await prepare(settings)
    async with client_of(build_app(settings)) as http:
        unmade = await http.get("/stats/orders-by-status")
        assert "not made yet" in assert_problem(unmade, 503, "views-unavailable")["detail"]
        worker.start()

        async def whole() -> bool:
            return (await http.get("/stats/orders-by-status")).is_success

        await eventually(whole, worker)
        await asyncio.to_thread(worker.kill)
        answer = await http.get("/stats/orders-by-status")
        assert_problem(answer, 503, "views-unavailable")
        assert "partitions 0,1,2 does not answer" in answer.json()["detail"]
        assert answer.headers["retry-after"] == "1"
        with psycopg.connect(settings.postgres_url) as connection:
            connection.execute("DELETE FROM views.sales_workers WHERE partition = 1")
        answer = await http.get("/stats/orders-by-status")
        assert "no worker has said yet that it serves partition 1" in answer.json()["detail"]
