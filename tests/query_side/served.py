"""A view to fill by hand, and the query API on it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI

import migrations
from eventlog.settings import Settings
from projections.checkpoints import apply_batch
from projections.generations import live_generation
from projections.orders.view import OrdersView
from schemas.events import OrderEvent
from service.database import connect
from tests.kit.codec import local_codec
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


@asynccontextmanager
async def client_of(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://query") as http,
    ):
        yield http


def assert_problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert answer.status_code == status, body
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "instance"} <= body.keys()
    assert (body["type"], body["status"]) == (f"urn:orderlog:problem:{slug}", status)
    return body
