"""The demo: order traffic on a running stack, and a summary of what it comes to, until Ctrl-C."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any
from uuid import UUID, uuid4

import httpx
from rich.console import Console
from rich.live import Live
from rich.table import Table

from eventlog.settings import Settings
from local_stack.services import SERVICES
from local_stack.shop import order_body
from local_stack.stockroom import Stockroom
from local_stack.traffic import Tally, Traffic

_EVERY_S = 1.0
_PLAIN_EVERY = 5  # lines come more slowly than a table is redrawn


@dataclass(frozen=True, slots=True)
class _Progress:
    """The log and the view, as the query API tells; None while it does not."""

    events: int
    reached: int
    lag: int


async def run(settings: Settings, orders_per_second: float, tend: Callable[[], None], console: Console) -> None:
    """Send traffic and show what becomes of it until cancelled; `tend` is called every second."""
    urls = {service.name: service.part(settings).url for service in SERVICES}
    command_url, query_url = urls["command-api"], urls["query-api"]
    traffic = Traffic(command_url, query_url, orders_per_second, Random())
    stockroom = Stockroom(urls["subscriber-inventory"])
    await stockroom.open()
    yours = await traffic.place(_order_of_yours(uuid4(), {"TEA-EARL-GREY-100": 2}))
    _invite(console, urls, yours)
    async with asyncio.TaskGroup() as group, httpx.AsyncClient(base_url=query_url, timeout=5) as client:
        group.create_task(traffic.run())
        group.create_task(stockroom.run())
        if console.is_terminal:
            await _show(client, traffic.tally, tend, console)
        await _print(client, traffic.tally, tend, console)


async def _show(client: httpx.AsyncClient, tally: Tally, tend: Callable[[], None], console: Console) -> None:
    with Live(console=console, auto_refresh=False) as live:
        while True:
            before = tally.answered
            await asyncio.sleep(_EVERY_S)
            tend()
            rate, view, sales = (tally.answered - before) / _EVERY_S, await _positions(client), await _sales(client)
            live.update(_table(tally, rate, view, sales), refresh=True)


async def _print(client: httpx.AsyncClient, tally: Tally, tend: Callable[[], None], console: Console) -> None:
    while True:
        for _ in range(_PLAIN_EVERY):
            await asyncio.sleep(_EVERY_S)
            tend()
        view = await _positions(client)
        told = f"{view.events} events in the log, view {view.lag} behind" if view else "the query API does not answer"
        console.print(f"{tally.accepted} commands accepted, {tally.rejected.total()} rejected; {told}")
        console.print(f"sales: {await _sales(client)}", highlight=False)


def _table(tally: Tally, rate: float, view: _Progress | None, sales: str) -> Table:
    table = Table(show_header=False, title="orderlog demo, Ctrl-C stops it", title_justify="left")
    table.add_row("commands accepted", f"{tally.accepted:,}", f"{rate:,.0f} commands/s answered")
    reasons = ", ".join(f"{reason} {count}" for reason, count in tally.rejected.most_common(3))
    table.add_row("commands rejected", f"{tally.rejected.total():,}", reasons)
    if tally.repeated:
        table.add_row("requests repeated", f"{tally.repeated:,}", "under the same Idempotency-Key")
    if view:
        table.add_row("events in the log", f"{view.events:,}", "order.events")
        table.add_row("view has reached", f"{view.reached:,}", f"{view.lag:,} events behind")
    else:
        table.add_row("view", "?", "the query API does not answer")
    table.add_row("sales tables", "", sales)
    return table


async def _positions(client: httpx.AsyncClient) -> _Progress | None:
    try:
        answer = (await client.get("/positions")).raise_for_status().json()
    except httpx.HTTPError:
        return None
    (orders,) = (one for one in answer["projections"] if one["name"] == "orders")
    events = sum(partition["end"] for partition in orders["partitions"])
    return _Progress(events, events - orders["lag"], orders["lag"])


async def _sales(client: httpx.AsyncClient) -> str:
    """What the sales tables tell, in a line; why not, while they tell nothing."""
    try:
        counts = await client.get("/stats/orders-by-status")
        top = await client.get("/stats/top-skus", params={"limit": 1})
    except httpx.HTTPError:
        return "the query API does not answer"
    if not (counts.is_success and top.is_success):
        return str((top if counts.is_success else counts).json()["detail"])
    now = ", ".join(f"{one['orders']:,} {one['status']}" for one in counts.json()["statuses"] if one["orders"])
    best = "".join(f"; sold most: {one['sku']}, {one['pieces']:,} pieces" for one in top.json()["skus"])
    return now + best


def _invite(console: Console, urls: Mapping[str, str], yours: UUID) -> None:
    command_url, query_url = urls["command-api"], urls["query-api"]
    body = _order_of_yours(yours, {"CUP-WHITE": 2})
    del body["order_id"]
    as_json = "-H 'Content-Type: application/json' -d"
    shipment = json.dumps({"carrier": "DHL", "tracking": "JD01"})
    lines = (
        f"command API  {command_url}/docs",
        f"query API    {query_url}/docs",
        f"dashboard    {query_url}/dashboard",
        f"positions    {query_url}/positions",
        f"sales        {query_url}/stats/revenue?by=minute",
        f"stock        {urls['subscriber-inventory']}/stock",
        f"mailbox      {urls['mailbox']}",
        "",
        "Place an order, list yours, see it confirmed and its mail come, and ask for what it refuses until it is paid:",
        "",
        f"curl -s {command_url}/orders {as_json} '{json.dumps(body)}'",
        f"curl -s '{query_url}/orders?customer_id=you'",
        f"curl -s {command_url}/orders/{yours}/ship {as_json} '{shipment}'",
        "",
    )
    for line in lines:
        # As it is, however long: a wrapped command cannot be pasted.
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _order_of_yours(order_id: UUID, quantities: dict[str, int]) -> dict[str, Any]:
    return {**order_body(Random(1), order_id, quantities), "customer_id": "you", "email": "you@example.com"}
