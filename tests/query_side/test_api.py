"""The query API on a real view in a real Postgres."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from fastapi import FastAPI

import migrations
from eventlog.settings import Settings
from projections.checkpoints import apply_batch
from projections.database import connect
from projections.generations import live_generation
from projections.orders.view import OrdersView
from query_side.bootstrap import build_app
from schemas.events import OrderConfirmed, OrderEvent, OrderPlaced
from tests.kit.codec import local_codec
from tests.kit.worlds import eventually, own_postgres, prepare
from tests.projections.histories import placed
from tests.projections.log import log_writer
from tests.projections.records import Record, records

VIEW = OrdersView()


class View:
    """The view's partitions, each fed by its own list of records."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._events: dict[int, list[OrderEvent]] = {}

    async def make(self) -> None:
        """Make the empty view."""
        await asyncio.to_thread(migrations.upgrade, self._settings.postgres_url)
        await self.feed(0, [])

    async def feed(self, partition: int, events: list[OrderEvent]) -> None:
        """Apply `events` as the next ones of `partition`."""
        codec, known = local_codec(), self._events.setdefault(partition, [])
        known += events
        fresh: list[Record] = records(codec, known)[len(known) - len(events) :]
        async with await connect(self._settings.postgres_url) as connection:
            generation = await live_generation(connection, VIEW)
            if fresh:
                await apply_batch(connection, VIEW, generation, codec, partition, fresh)


@pytest.fixture
async def view(settings: Settings) -> View:
    made = View(settings)
    await made.make()
    return made


@asynccontextmanager
async def client_of(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://query") as http,
    ):
        yield http


@pytest.fixture
async def client(view: View, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    settings.position_wait_s = 20.0
    async with client_of(build_app(settings)) as http:
        yield http


@pytest.fixture
async def impatient(view: View, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    settings.position_wait_s = 0.05
    async with client_of(build_app(settings)) as http:
        yield http


def assert_problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert answer.status_code == status, body
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "instance"} <= body.keys()
    assert (body["type"], body["status"]) == (f"urn:orderlog:problem:{slug}", status)
    return body


async def test_one_order_with_all_that_is_known_of_it(client: httpx.AsyncClient, view: View) -> None:
    order = placed()
    await view.feed(1, [order, OrderConfirmed(order.order_id, 998)])
    answer = await client.get(f"/orders/{order.order_id}")
    assert answer.json() == {
        "order_id": str(order.order_id),
        "customer_id": "customer-1",
        "email": "customer-1@example.com",
        "status": "confirmed",
        "currency": "EUR",
        "total": 998,
        "paid": 0,
        "refunded": 0,
        "lines": [{"sku": "TEA", "quantity": 2, "unit_price": 499, "returned": 0}],
        "shipping_address": {
            "name": "Ada Lovelace",
            "street": "12 St James's Square",
            "city": "London",
            "postal_code": "SW1Y 4JH",
            "country": "GB",
        },
        "reason": None,
        "carrier": None,
        "tracking": None,
        "version": 2,
        "placed_at": "2026-03-01T09:30:00.000000Z",
        "updated_at": "2026-03-01T09:30:01.000000Z",
    }
    assert (answer.headers["ETag"], answer.headers["Orderlog-Position"]) == ('"2"', "1:1")


async def test_an_order_that_the_client_has_is_not_sent_again(client: httpx.AsyncClient, view: View) -> None:
    order = placed()
    await view.feed(0, [order])
    url = f"/orders/{order.order_id}"
    for current in ('"1"', 'W/"1"', '"7", "1"', "*"):
        answer = await client.get(url, headers={"If-None-Match": current})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", '"1"')
    await view.feed(0, [OrderConfirmed(order.order_id, 998)])
    assert (await client.get(url, headers={"If-None-Match": '"1"'})).json()["version"] == 2


async def test_what_is_not_there(client: httpx.AsyncClient) -> None:
    missing = await client.get(f"/orders/{uuid4()}")
    assert_problem(missing, 404, "order-not-found")
    assert missing.headers["Orderlog-Position"] == ""
    assert_problem(await client.get("/nothing"), 404, "not-found")
    refused = await client.delete("/orders")
    assert_problem(refused, 405, "method-not-allowed")
    assert refused.headers["Allow"] == "GET"


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/orders?costumer_id=a", "query.costumer_id"),
        ("/orders/{id}?version=1", "query.version"),
        ("/positions?x=1", "query.x"),
        ("/orders/7", "path.order_id"),
        ("/orders?limit=0", "query.limit"),
        ("/orders?limit=201", "query.limit"),
        ("/orders?status=lost", "query.status"),
        ("/orders?cursor=abc", "query.cursor"),
        ("/orders?customer_id=", "query.customer_id"),
        ("/orders?customer_id=a%00b", "query.customer_id"),
        ("/orders?placed_after=2026-01-01T00:00:00", "query.placed_after"),
        ("/orders?placed_before=yesterday", "query.placed_before"),
    ],
)
async def test_bad_requests_name_the_field(client: httpx.AsyncClient, path: str, field: str) -> None:
    body = assert_problem(await client.get(path.format(id=uuid4())), 422, "invalid-request")
    assert field in [error["field"] for error in body["errors"]]


async def test_pages_hold_still_while_orders_are_placed(client: httpx.AsyncClient, view: View) -> None:
    first = [placed(customer_id="a" if n % 2 else "b") for n in range(25)]
    await view.feed(0, list(first))
    seen: list[str] = []
    url: str | None = "/orders?limit=7"
    while url:
        answer = await client.get(url)
        seen += [order["order_id"] for order in answer.json()["orders"]]
        url = answer.links.get("next", {}).get("url")
        assert bool(url) == bool(answer.json()["next_cursor"])
        await view.feed(0, [placed()])
    assert seen == [str(order.order_id) for order in reversed(first)]


async def test_orders_of_one_moment_are_paged_by_id(client: httpx.AsyncClient, view: View) -> None:
    # The first record of each partition happened at the same microsecond.
    orders = [placed() for _ in range(3)]
    for partition, order in enumerate(orders):
        await view.feed(partition, [order])
    pages, parameters = [], {"limit": "1"}
    for _ in orders:
        body = (await client.get("/orders", params=parameters)).json()
        pages.append(UUID(body["orders"][0]["order_id"]))
        parameters["cursor"] = body["next_cursor"]
    assert pages == sorted((order.order_id for order in orders), reverse=True)


async def test_lists_are_narrowed(client: httpx.AsyncClient, view: View) -> None:
    orders: list[OrderPlaced] = [placed(customer_id=name) for name in ("a", "b", "a", "a")]
    await view.feed(2, [*orders, OrderConfirmed(orders[0].order_id, 998)])

    async def found(**parameters: str) -> list[int]:
        body = (await client.get("/orders", params=parameters)).json()
        ids = [UUID(order["order_id"]) for order in body["orders"]]
        return [[order.order_id for order in orders].index(one) for one in ids]

    assert await found() == [3, 2, 1, 0]
    assert await found(customer_id="a") == [3, 2, 0]
    assert await found(status="confirmed") == [0]
    assert await found(customer_id="b", status="confirmed") == []
    assert await found(placed_after="2026-03-01T09:30:01Z", placed_before="2026-03-01T10:30:03+01:00") == [2, 1]


async def test_an_answer_waits_for_the_position(client: httpx.AsyncClient, view: View) -> None:
    order = placed()
    await view.feed(0, [placed()])
    asked = asyncio.create_task(client.get(f"/orders/{order.order_id}", headers={"Orderlog-Min-Position": "2:1, 0:0"}))
    await view.feed(2, [order])
    assert not asked.done()
    await view.feed(2, [OrderConfirmed(order.order_id, 998)])
    answer = await asked
    assert (answer.json()["version"], answer.headers["Orderlog-Position"]) == (2, "0:0,2:1")


async def test_a_wait_for_the_position_is_bounded(impatient: httpx.AsyncClient) -> None:
    answer = await impatient.get("/orders", headers={"Orderlog-Min-Position": "2:1"})
    assert_problem(answer, 503, "position-not-reached")
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("position", ["1", "a:b", "0:-1", "0:1,,", "3:0", "0:1;1:2"])
async def test_a_position_that_is_none_is_refused(client: httpx.AsyncClient, position: str) -> None:
    answer = await client.get("/orders", headers={"Orderlog-Min-Position": position})
    body = assert_problem(answer, 422, "invalid-request")
    assert body["errors"][0]["field"] == "header.Orderlog-Min-Position"


async def test_positions_are_told_against_the_logs_end(client: httpx.AsyncClient, settings: Settings) -> None:
    codec = await prepare(settings)
    async with log_writer(settings, codec) as writer:
        await writer.append([placed(), placed()], partition=1)
    with psycopg.connect(settings.postgres_url) as connection:
        connection.execute("INSERT INTO orderlog.checkpoints VALUES ('orders', 1, 1, 1, 0)")
    nothing = {"position": -1, "end": 0, "lag": 0}
    partitions = [{"partition": 0, **nothing}, {"partition": 1, "position": 0, "end": 2, "lag": 1}]
    partitions.append({"partition": 2, **nothing})
    expected = {"name": "orders", "generation": 1, "lag": 1, "partitions": partitions}
    assert (await client.get("/positions")).json() == {"projections": [expected]}


async def test_before_the_first_worker_it_says_so(settings: Settings) -> None:
    await asyncio.to_thread(migrations.upgrade, settings.postgres_url)
    async with client_of(build_app(settings)) as http:
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get("/readyz")).status_code == 503
        answer = await http.get("/orders")
        assert_problem(answer, 503, "views-unavailable")
        assert answer.headers["Retry-After"]


async def test_it_survives_a_restart_of_postgres(settings: Settings, tmp_path: Path) -> None:
    with own_postgres(settings, tmp_path) as (postgres, settings):
        view, order = View(settings), placed()
        await view.make()
        await view.feed(0, [order])
        async with client_of(build_app(settings)) as http:
            assert (await http.get(f"/orders/{order.order_id}")).status_code == 200
            postgres.kill()
            assert_problem(await http.get("/orders"), 503, "views-unavailable")
            postgres.start()

            async def answered() -> bool:
                return (await http.get(f"/orders/{order.order_id}")).status_code == 200

            await eventually(answered)
            await view.feed(0, [OrderConfirmed(order.order_id, 998)])
            answer = await http.get(f"/orders/{order.order_id}", headers={"Orderlog-Min-Position": "0:1"})
            assert answer.json()["status"] == "confirmed"


async def test_what_nobody_expected_is_a_problem_too(client: httpx.AsyncClient, settings: Settings) -> None:
    with psycopg.connect(settings.postgres_url) as connection:
        connection.execute("ALTER TABLE views_g1.orders RENAME COLUMN total TO sum")
        connection.execute("ALTER VIEW views.orders RENAME COLUMN total TO sum")
    assert_problem(await client.get("/orders"), 500, "internal-error")


async def test_the_description_has_every_answer(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    stats = {f"/stats/{name}" for name in ("orders-by-status", "revenue", "top-skus", "top-customers")}
    assert paths.keys() == {"/orders", "/orders/{order_id}", "/positions", "/healthz", "/readyz"} | stats
    responses = paths["/orders/{order_id}"]["get"]["responses"]
    assert responses.keys() == {"200", "304", "404", "422", "503"}
    assert "application/problem+json" in responses["422"]["content"]
