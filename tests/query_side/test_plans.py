"""The plans of the queries on a table of some size: by index, and few pages read, whatever is asked for."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest

import migrations
from benchmarks.filling import fill_views
from eventlog.settings import Settings
from query_side import queries
from query_side.cursor import Cursor, Sort
from query_side.database import Database, connection_options
from query_side.listing import Filters, counted_page, plan

_ORDERS = 100_000
_TABLES = ("orders", "order_lines", "order_texts", "order_events", "customers")
_SINCE = datetime(2026, 1, 20, tzinfo=UTC)
# Pages of 8 KiB, counted each time one is touched. To ask 2,000 orders for a word, and count them, takes some 9,000,
# whatever the size of the table; to go through all 100,000 would take 400,000.
_PAGES = 10_000

_LISTS: dict[str, Filters] = {
    "everything": Filters(),
    "one status": Filters(statuses=["open"]),
    "nearly all": Filters(statuses=["delivered"]),
    "a rare status": Filters(statuses=["rejected"]),
    "several": Filters(statuses=["open", "paid"]),
    "a customer": Filters(customer_id="customer-77"),
    "a customer's open ones": Filters(customer_id="customer-77", statuses=["open"]),
    "a sku": Filters(sku="SKU-7"),
    "a sku that is not sold": Filters(sku="nothing"),
    "a time range": Filters(placed_from=_SINCE, placed_before=datetime(2026, 1, 21, tzinfo=UTC)),
    "a minimum": Filters(min_total=99_000, currency="EUR"),
    "a payment": Filters(words=["pay", "4711"]),
    "a street": Filters(words=["4711", "dorset", "str"]),
    "a common word": Filters(words=["london"]),
    "a word that is not there": Filters(words=["zanzibar"]),
    "a common beginning": Filters(words=["lo"]),
}


@pytest.fixture(scope="module")
def filled(infrastructure: Any) -> Any:
    """A database of its own for this file, filled once."""
    server, _, _ = infrastructure.endpoints.postgres_url.rpartition("/")
    name = f"t{uuid4().hex[:8]}"
    settings = Settings(_env_file=None, postgres_url=f"{server}/{name}")
    migrations.upgrade(settings.postgres_url)
    asyncio.run(fill_views(settings, _ORDERS))
    yield settings
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.mark.parametrize("asked", _LISTS)
@pytest.mark.parametrize("sort", list(Sort))
async def test_lists_go_by_index(filled: Settings, asked: str, sort: Sort) -> None:
    filters = _LISTS[asked]
    if sort.column == "total" and filters.currency is None:
        pytest.skip("lists by total are of one currency")
    async with Database(filled.postgres_url) as database:
        conditions = await plan(database, filters)
    middle = Cursor.at(sort, 50_000 if sort.column == "total" else _SINCE, uuid4())
    for after in (None, middle):
        statement, values = counted_page(conditions, sort, after)
        assert_by_index(filled, statement, {**values, "limit": 51})


@pytest.mark.parametrize(
    "statement",
    [queries.ORDERS_BY_ID, queries.HISTORY, queries.EVENTS, queries.NEWS, queries.CUSTOMER],
    ids=["orders", "history", "events", "news", "customer"],
)
async def test_keys_go_by_index(filled: Settings, statement: str) -> None:
    key = uuid4()
    several = {"ids": [key], "versions": [1]}
    one = {"order_id": key, "customer_id": "customer-7", "after": 0, "limit": 100}
    assert_by_index(filled, statement, {**several, **one})


def assert_by_index(settings: Settings, statement: str, values: dict[str, Any]) -> None:
    with psycopg.connect(settings.postgres_url, options=connection_options()["options"]) as connection:
        explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"
        row = connection.execute(explain.encode(), values).fetchone()
    assert row is not None
    (explained,) = row[0]
    scanned = [node["Relation Name"] for node in _nodes(explained["Plan"]) if node["Node Type"] == "Seq Scan"]
    assert not set(scanned) & set(_TABLES), scanned
    pages = explained["Plan"]["Shared Hit Blocks"] + explained["Plan"]["Shared Read Blocks"]
    assert pages < _PAGES


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for part in plan.get("Plans", []) for node in _nodes(part))]
