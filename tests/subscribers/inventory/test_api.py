"""The stock over HTTP, on a real Postgres."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI

import migrations
from eventlog.settings import Settings
from subscribers.inventory.subscription import INVENTORY
from subscribers.pages import create_app
from tests.kit.worlds import own_postgres


class NotRunning:
    """No loops: the stock is filled by hand."""

    def loops(self) -> list[Any]:
        return []


def app_of(settings: Settings) -> FastAPI:
    return create_app(settings, INVENTORY, NotRunning())  # type: ignore[arg-type]


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://stock")


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    await asyncio.to_thread(migrations.upgrade, settings.postgres_url)
    app = app_of(settings)
    async with app.router.lifespan_context(app), client_of(app) as http:
        yield http


async def receive(client: httpx.AsyncClient, sku: str, quantity: int, key: str | None = None) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await client.post(f"/stock/{sku}/receipts", json={"quantity": quantity}, headers=headers)


async def adjust(client: httpx.AsyncClient, sku: str, quantity: int, key: str | None = None) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    body = {"quantity": quantity, "reason": "counted"}
    return await client.post(f"/stock/{sku}/adjustments", json=body, headers=headers)


def level(sku: str, received: int, **others: int) -> dict[str, object]:
    pieces = {"available": received, "reserved": 0, "shipped": 0, "unstocked": 0}
    return {"sku": sku, "received": received, **pieces, **others}


def assert_problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert answer.status_code == status, body
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["type"] == f"urn:orderlog:problem:{slug}"
    return body


async def test_receive_and_look(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get("/stock/TEA-1"), 404, "sku-not-found")
    answer = await receive(client, "TEA-1", 5)
    assert (answer.status_code, answer.json()) == (200, level("TEA-1", 5))
    assert (await receive(client, "TEA-1", 2)).json() == level("TEA-1", 7)
    assert (await client.get("/stock/TEA-1")).json() == level("TEA-1", 7)


async def test_adjust(client: httpx.AsyncClient, settings: Settings) -> None:
    assert_problem(await adjust(client, "TEA-1", 1), 404, "sku-not-found")
    await receive(client, "TEA-1", 5)
    assert (await adjust(client, "TEA-1", -2)).json() == level("TEA-1", 3)
    refused = assert_problem(await adjust(client, "TEA-1", -4), 409, "too-few-available")
    assert refused["available"] == 3
    assert (await adjust(client, "TEA-1", 1)).json() == level("TEA-1", 4)
    with psycopg.connect(settings.postgres_url) as connection:
        rows = connection.execute("SELECT kind, quantity, reason, available FROM inventory.movements ORDER BY sequence")
        kept = rows.fetchall()
    assert kept == [("receipt", 5, "", 5), ("adjustment", -2, "counted", 3), ("adjustment", 1, "counted", 4)]


async def test_what_is_reserved_cannot_be_missing(client: httpx.AsyncClient, settings: Settings) -> None:
    await receive(client, "TEA-1", 5)
    with psycopg.connect(settings.postgres_url) as connection:
        connection.execute("UPDATE inventory.levels SET available = 1, reserved = 4")
    assert_problem(await adjust(client, "TEA-1", -2), 409, "too-few-available")
    assert (await adjust(client, "TEA-1", -1)).json() == level("TEA-1", 4, available=0, reserved=4)


async def test_a_key_makes_a_repeat_safe(client: httpx.AsyncClient) -> None:
    first = await receive(client, "TEA-1", 5, "note-1")
    await receive(client, "TEA-1", 1)
    again = await receive(client, "TEA-1", 5, "note-1")
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert (await client.get("/stock/TEA-1")).json() == level("TEA-1", 6)
    assert_problem(await receive(client, "TEA-1", 6, "note-1"), 422, "idempotency-key-reused")
    assert_problem(await adjust(client, "TEA-1", 5, "note-1"), 422, "idempotency-key-reused")
    assert (await receive(client, "TEA-2", 5, "note-1")).json() == level("TEA-2", 5)
    assert_problem(await receive(client, "TEA-1", 1, "two words"), 400, "bad-request")


async def test_repeats_at_once_count_once(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(receive(client, "TEA-1", 5, "note-1") for _ in range(8)))
    assert [answer.json() for answer in answers] == [level("TEA-1", 5)] * 8
    assert (await client.get("/stock/TEA-1")).json() == level("TEA-1", 5)


async def test_receipts_at_once_add_up(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(receive(client, "TEA-1", 1) for _ in range(20)))
    assert sorted(answer.json()["received"] for answer in answers) == list(range(1, 21))


async def test_pages(client: httpx.AsyncClient) -> None:
    assert (await client.get("/stock")).json() == {"stock": [], "next_cursor": None}
    skus = ["A", "TEA-1", "TEA-10", "TEA-2", "TEA_3", "a", "b"]
    for sku in reversed(skus):
        await receive(client, sku, 1)
    found, address = [], "/stock?limit=3"
    while address:
        page = await client.get(address)
        found += [one["sku"] for one in page.json()["stock"]]
        address = page.links.get("next", {}).get("url", "")
        assert (page.json()["next_cursor"] is None) == (not address)
    assert found == skus
    page = (await client.get("/stock", params={"prefix": "TEA-", "after": "TEA-1"})).json()
    assert [one["sku"] for one in page["stock"]] == ["TEA-10", "TEA-2"]
    assert page["next_cursor"] is None


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/stock/TEA-1/receipts", {"quantity": 0}, "body.quantity"),
        ("/stock/TEA-1/receipts", {"quantity": "5"}, "body.quantity"),
        ("/stock/TEA-1/receipts", {"quantity": 10**12}, "body.quantity"),
        ("/stock/TEA-1/receipts", {"quantity": 1, "reason": "x"}, "body.reason"),
        ("/stock/TEA%201/receipts", {"quantity": 1}, "path.sku"),
        ("/stock/TEA-1/adjustments", {"quantity": 0, "reason": "x"}, "body.quantity"),
        ("/stock/TEA-1/adjustments", {"quantity": 1}, "body.reason"),
        ("/stock/TEA-1/adjustments", {"quantity": 1, "reason": "\x00"}, "body.reason"),
        ("/stock/TEA-1/adjustments", {"quantity": 1, "reason": "  "}, "body.reason"),
    ],
)
async def test_a_wrong_field_is_named(client: httpx.AsyncClient, path: str, body: Any, field: str) -> None:
    refused = assert_problem(await client.post(path, json=body), 422, "invalid-request")
    assert [error["field"] for error in refused["errors"]] == [field]
    assert (await client.get("/stock")).json()["stock"] == []


async def test_wrong_parameters_are_named(client: httpx.AsyncClient) -> None:
    for parameters, field in (({"limit": 0}, "limit"), ({"prefix": "%"}, "prefix"), ({"sku": "A"}, "sku")):
        refused = assert_problem(await client.get("/stock", params=parameters), 422, "invalid-request")
        assert [error["field"] for error in refused["errors"]] == [f"query.{field}"]


async def test_without_tables(settings: Settings) -> None:
    server, _, _ = settings.postgres_url.rpartition("/")
    app = app_of(settings.model_copy(update={"postgres_url": f"{server}/postgres"}))
    async with app.router.lifespan_context(app), client_of(app) as http:
        refused = assert_problem(await http.get("/stock"), 503, "stock-unavailable")
        assert "orderlog migrate" in refused["detail"]


async def test_postgres_away_and_back(settings: Settings, tmp_path: Path) -> None:
    with own_postgres(settings, tmp_path / "own") as (postgres, there):
        await asyncio.to_thread(migrations.upgrade, there.postgres_url)
        app = app_of(there)
        async with app.router.lifespan_context(app), client_of(app) as http:
            await receive(http, "TEA-1", 5, "note-1")
            postgres.stop()
            refused = assert_problem(await receive(http, "TEA-1", 5, "note-1"), 503, "stock-unavailable")
            assert "Idempotency-Key" in refused["detail"]
            postgres.start()
            while (answer := await receive(http, "TEA-1", 5, "note-1")).status_code != 200:
                assert answer.status_code == 503
            assert (await http.get("/stock/TEA-1")).json() == level("TEA-1", 5)
