"""The query API on a real view in a real Postgres."""

import asyncio
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest

import migrations
from eventlog.settings import Settings
from query_side import queries
from query_side.bootstrap import build_app
from schemas.events import OrderConfirmed
from tests.kit.worlds import eventually, own_postgres, prepare
from tests.projections.histories import placed
from tests.projections.log import log_writer
from tests.query_side.served import View, assert_problem, client_of


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


async def test_the_topics_are_described_for_tools(client: httpx.AsyncClient, settings: Settings) -> None:
    described = (await client.get("/asyncapi.json")).json()
    assert described["asyncapi"] == "3.0.0"
    assert described["channels"]["order-events"]["address"] == settings.topic("order.events")


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
        ("/orders/{id}?versoin=1", "query.versoin"),
        ("/positions?x=1", "query.x"),
        ("/orders/7", "path.order_id"),
        ("/orders?limit=0", "query.limit"),
        ("/orders?limit=201", "query.limit"),
        ("/orders?status=lost", "query.status[0]"),
        ("/orders?cursor=abc", "query.cursor"),
        ("/orders?customer_id=", "query.customer_id"),
        ("/orders?customer_id=a%00b", "query.customer_id"),
        ("/orders?placed_after=2026-01-01T00:00:00", "query.placed_after"),
        ("/orders?placed_before=yesterday", "query.placed_before"),
        ("/orders?customer_id=a&customer_id=b", "query.customer_id"),
        ("/orders?min_total=5", "query.min_total"),
        ("/orders?sort=total", "query.sort"),
        ("/orders?sort=colour", "query.sort"),
        ("/orders?currency=eur", "query.currency"),
        ("/orders?q=-%20-", "query.q"),
        ("/orders/{id}?version=0", "query.version"),
        ("/orders/{id}?version=1&as_of=2026-01-01T00:00:00Z", "query.as_of"),
        ("/orders/{id}?as_of=2026-01-01", "query.as_of"),
        ("/orders/{id}/events?limit=501", "query.limit"),
        ("/orders/{id}/changes?after=x", "query.after"),
        ("/customers/a?x=1", "query.x"),
        ("/customers/a%00b", "path.customer_id"),
    ],
)
async def test_bad_requests_name_the_field(client: httpx.AsyncClient, path: str, field: str) -> None:
    body = assert_problem(await client.get(path.format(id=uuid4())), 422, "invalid-request")
    assert field in [error["field"] for error in body["errors"]]


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
    expected = {"name": "orders", "generation": 1, "lag": 1, "partitions": partitions, "rebuild": None}
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


async def test_what_nobody_expected_is_a_problem_too(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("nobody expected this")

    monkeypatch.setattr(queries, "customer", fail)
    assert_problem(await client.get("/customers/ada"), 500, "internal-error")


async def test_a_view_of_another_version_is_not_read(client: httpx.AsyncClient, settings: Settings) -> None:
    with psycopg.connect(settings.postgres_url) as connection:
        connection.execute("ALTER VIEW views.orders RENAME COLUMN total TO sum")
    answer = await client.get("/orders")
    assert "rebuild it" in assert_problem(answer, 503, "views-unavailable")["detail"]


async def test_the_description_has_every_answer(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    order = {f"/orders/{{order_id}}{rest}" for rest in ("", "/events", "/changes")}
    stats = {f"/stats/{name}" for name in ("orders-by-status", "revenue", "top-skus", "top-customers")}
    others = {"/customers/{customer_id}", "/positions", "/healthz", "/readyz"}
    assert paths.keys() == {"/orders", *order, *stats, *others}
    responses = paths["/orders/{order_id}"]["get"]["responses"]
    assert responses.keys() == {"200", "304", "404", "422", "503"}
    assert "application/problem+json" in responses["422"]["content"]
