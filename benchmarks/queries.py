"""Queries against a million orders: one by its id, and lists, each against what it cannot be faster than."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any
from urllib.parse import urlencode

from benchmarks.filling import fill_views, order_ids
from benchmarks.load import get, latencies, throughput
from benchmarks.results import Figure, percentile
from benchmarks.servers import empty_api, query_api
from eventlog.settings import Settings
from query_side.api.models import OrdersParameters
from query_side.database import Database
from query_side.listing import page, plan, words_of

_ORDERS = 1_000_000
_CONNECTIONS, _REQUESTS, _WARM_UP = 64, 20_000, 2_000
_LISTS, _LISTS_WARM_UP = 600, 60


async def measure(settings: Settings) -> list[Figure]:
    """Orders read per second by 64 connections; the slowest of a hundred lists of 50 orders, one at a time."""
    await fill_views(settings, _ORDERS)
    ids = await asyncio.to_thread(order_ids, settings, _REQUESTS)
    with query_api(settings) as ours, empty_api(settings) as nothing:
        rate = await _rate(ours.url, [f"/orders/{order_id}" for order_id in ids])
        peer = await _rate(nothing.url, ["/readyz"] * _REQUESTS)
        lists = await _lists(ours.url, _filters(_LISTS_WARM_UP + _LISTS))
    bare = await _bare(settings, _filters(_LISTS_WARM_UP + _LISTS))
    many = f"of {_ORDERS:,}"
    return [
        Figure(f"GET /orders/{{id}} {many}, {_CONNECTIONS} connections", rate, "1/s", "empty FastAPI GET", peer),
        Figure(f"list of 50 {many}, p50", percentile(lists, 0.5), "ms", "bare SQL", percentile(bare, 0.5)),
        Figure(f"list of 50 {many}, p99", percentile(lists, 0.99), "ms", "bare SQL", percentile(bare, 0.99)),
    ]


async def _rate(url: str, paths: Sequence[str]) -> float:
    requests = [get(f"{url}{path}") for path in paths]
    await throughput(url, iter(requests[:_WARM_UP]), _CONNECTIONS, expected=200)
    return await throughput(url, iter(requests), _CONNECTIONS, expected=200)


def _filters(count: int) -> Iterator[dict[str, Any]]:
    """One of each kind in turn; the same ones each time."""
    random = Random(50)
    for n in range(count):
        yield (
            {"status": random.choice(["open", "paid", "delivered", "rejected"])},
            {"customer_id": f"customer-{random.randrange(_ORDERS // 10)}"},
            {"sku": f"SKU-{random.randrange(1_000)}"},
            {"min_total": random.randrange(1_000, 100_000), "currency": "EUR"},
            {"placed_after": f"2026-0{random.randint(1, 9)}-01T00:00:00Z", "sort": "placed_at"},
            {"q": f"pay-{random.randrange(_ORDERS)}"},
        )[n % 6]


async def _lists(url: str, filters: Iterator[dict[str, Any]]) -> list[float]:
    requests = [get(f"{url}/orders?{urlencode(parameters)}") for parameters in filters]
    return sorted((await latencies(url, requests, expected=200))[_LISTS_WARM_UP:])


async def _bare(settings: Settings, filters: Iterator[dict[str, Any]]) -> list[float]:
    """Milliseconds that the page's own statement takes over one connection, without counting and without HTTP."""
    took: list[float] = []
    async with Database(settings.postgres_url) as database:
        for parameters in filters:
            asked = OrdersParameters(**{name: [v] if name == "status" else v for name, v in parameters.items()})
            words = await words_of(database, asked.q) if asked.q else ()
            statement, values = page(await plan(database, asked.filters(words)), asked.sort, None)
            start = time.perf_counter()
            await database.rows(statement, {**values, "limit": 51}, prepare=False)
            took.append((time.perf_counter() - start) * 1_000)
    return sorted(took[_LISTS_WARM_UP:])
