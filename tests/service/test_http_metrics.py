"""Requests are counted by route, whichever server answers them, under labels that nobody outside can multiply."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from aiohttp import web
from aiohttp.test_utils import TestServer
from fastapi import FastAPI, Response
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import ASGIApp, Receive, Scope, Send

from service import problems
from service.admission import Admission
from service.http_metrics import Measured, measure_aiohttp
from service.metrics import Exposition


def _api() -> FastAPI:
    app = FastAPI()
    problems.install(app)

    @app.get("/orders/{order_id}")
    async def order(order_id: int) -> Response:
        return Response(status_code=404 if order_id == 404 else 200)

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError

    return app


def _aiohttp() -> web.Application:
    async def order(request: web.Request) -> web.Response:
        if request.match_info["order_id"] == "404":
            raise web.HTTPNotFound
        return web.Response()

    async def bug(_request: web.Request) -> web.Response:
        raise RuntimeError

    app = web.Application()
    app.router.add_get("/orders/{order_id}", order)
    app.router.add_get("/bug", bug)
    return app


@asynccontextmanager
async def _asgi_client(app: ASGIApp, exposition: Exposition) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(Measured(app, exposition), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://measured") as client:
        yield client


@asynccontextmanager
async def _aiohttp_client(exposition: Exposition) -> AsyncIterator[httpx.AsyncClient]:
    app = _aiohttp()
    measure_aiohttp(app, exposition)
    async with TestServer(app) as server, httpx.AsyncClient(base_url=str(server.make_url("/"))) as client:
        yield client


async def _counted(client: httpx.AsyncClient, metric: str = "orderlog_http_requests_total") -> dict[str, float]:
    """{"METHOD route status": how often}, as /metrics says."""
    answer = await client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = (sample for family in text_string_to_metric_families(answer.text) for sample in family.samples)
    return {
        " ".join(sample.labels[name] for name in ("method", "route", "status") if name in sample.labels): sample.value
        for sample in samples
        if sample.name == metric
    }


async def _use(client: httpx.AsyncClient) -> None:
    for path in ("/orders/1", "/orders/2", "/orders/404", "/nowhere/3", "/nowhere/4", "/bug"):
        await client.get(path)


_EXPECTED = {
    "GET /orders/{order_id} 2xx": 2,
    "GET /orders/{order_id} 4xx": 1,
    "GET other 4xx": 2,
    "GET /bug 5xx": 1,
}


async def test_asgi_by_route() -> None:
    async with _asgi_client(_api(), Exposition()) as client:
        await _use(client)
        assert await _counted(client) == _EXPECTED
        assert (await _counted(client, "orderlog_http_request_duration_seconds_count"))["GET /orders/{order_id}"] == 3
        for made_up in ("BREW", "STEEP"):
            await client.request(made_up, "/nowhere")
        assert {name: n for name, n in (await _counted(client)).items() if name not in _EXPECTED} == {
            "other other 4xx": 2
        }


async def test_aiohttp_by_route() -> None:
    async with _aiohttp_client(Exposition()) as client:
        await _use(client)
        assert await _counted(client) == _EXPECTED
        assert (await _counted(client, "orderlog_http_request_duration_seconds_count"))["GET /orders/{order_id}"] == 3


async def test_who_is_refused_a_turn_is_counted_and_metrics_need_none() -> None:
    refused: list[None] = []
    full = Admission(
        _never,
        at_once=0,
        wait_s=1,
        most_waiting=0,
        exempt="x",
        always=frozenset(),
        on_refusal=lambda: refused.append(None),
    )
    async with _asgi_client(full, Exposition()) as client:
        assert (await client.get("/orders/1")).status_code == 503
        assert await _counted(client) == {"GET other 5xx": 1}
    assert len(refused) == 1


async def test_before_each_scrape_it_is_looked() -> None:
    exposition, looks = Exposition(), list[None]()
    exposition.before_scrape(lambda: looks.append(None))
    async with _asgi_client(_api(), exposition) as client:
        await client.get("/metrics")
        await client.get("/metrics")
    assert len(looks) == 2


async def _never(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise AssertionError
