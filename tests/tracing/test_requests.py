"""HTTP requests: each has a span, follows what it came with, and goes on with its own traceparent."""

import asyncio
from typing import Any

import httpx
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from fastapi import FastAPI, Request
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from pydantic import ValidationError
from starlette.types import ASGIApp

from command_side.api.app import create_app
from command_side.api.bulk import BulkLimits
from command_side.api.direct import CommandApp
from command_side.api.line_forwarding import LineForwarder, Relayed
from command_side.outcomes import Accepted, CommandRequest
from eventlog.positions import Position
from eventlog.settings import Settings
from service import tracing
from service.traced_requests import traced
from tests.kit.requests import order
from tests.tracing.seen import MALFORMED, SAMPLED, TRACE, UNSAMPLED, is_sampled, only, parent, traceparent


def echoing() -> FastAPI:
    """Answers with the traceparents it was given."""
    app = FastAPI()

    @app.get("/things/{thing}")
    async def thing(request: Request, thing: str) -> list[str]:
        return request.headers.getlist("traceparent")

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("a bug")

    @app.get("/healthz")
    async def healthz(request: Request) -> list[str]:
        return request.headers.getlist("traceparent")

    return app


async def get(app: ASGIApp, path: str, *given: str, method: str = "GET") -> httpx.Response:
    headers: Any = [("traceparent", one.encode("latin-1")) for one in given]
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        return await client.request(method, path, headers=headers)


async def test_a_request_follows_what_it_came_with_and_goes_on_with_its_own_span(spans: InMemorySpanExporter) -> None:
    answer = await get(traced(echoing()), "/things/ada", SAMPLED)
    span = only(spans)
    assert answer.json() == [traceparent(span)]
    assert (span.name, span.kind, parent(span)) == ("GET /things/{thing}", SpanKind.SERVER, SAMPLED)
    told = {"http.request.method": "GET", "http.route": "/things/{thing}", "http.response.status_code": 200}
    assert dict(span.attributes or {}) == told, "nothing of the path, which may name a customer"


@pytest.mark.parametrize("given", [[], *([one] for one in MALFORMED), [SAMPLED, SAMPLED]])
async def test_without_a_good_one_it_begins_a_trace(spans: InMemorySpanExporter, given: list[str]) -> None:
    answer = await get(traced(echoing()), "/things/1", *given)
    span = only(spans)
    assert (answer.status_code, answer.json(), parent(span)) == (200, [traceparent(span)], None)
    assert f"{span.context.trace_id:032x}" != TRACE


async def test_what_its_client_does_not_sample_is_not_sampled_behind_it(spans: InMemorySpanExporter) -> None:
    (going_on,) = (await get(traced(echoing()), "/things/1", UNSAMPLED)).json()
    assert going_on.startswith(f"00-{TRACE}-")
    assert not is_sampled(going_on)
    assert spans.get_finished_spans() == ()


@pytest.mark.parametrize("share", [0.0])
async def test_a_share_of_none_still_honours_a_client_that_samples(spans: InMemorySpanExporter) -> None:
    (going_on,) = (await get(traced(echoing()), "/things/1")).json()
    assert not is_sampled(going_on)
    assert spans.get_finished_spans() == ()
    await get(traced(echoing()), "/things/1", SAMPLED)
    assert parent(only(spans)) == SAMPLED


async def test_a_failure_is_told_and_health_is_not_traced(spans: InMemorySpanExporter) -> None:
    app = traced(echoing())
    assert (await get(app, "/healthz", SAMPLED)).json() == [SAMPLED]
    assert (await get(app, "/broken")).status_code == 500
    span = only(spans)
    assert (span.name, span.status.is_ok, (span.attributes or {})["error.type"]) == (
        "GET /broken",
        False,
        "RuntimeError",
    )


async def test_what_clients_invent_makes_no_new_names(spans: InMemorySpanExporter) -> None:
    app = traced(echoing())
    await get(app, "/nowhere/1")
    await get(app, "/things/1", method="EAT")
    assert [span.name for span in spans.get_finished_spans()] == ["GET", "HTTP /things/{thing}"]


async def test_off_the_application_is_as_it_was() -> None:
    app = echoing()
    assert traced(app) is app
    assert (await get(traced(app), "/things/1", SAMPLED)).json() == [SAMPLED]
    tracing.configure(Settings(_env_file=None), "any")
    assert not tracing.is_on()


@pytest.mark.parametrize(
    "given", ["nonsense", "127.0.0.1:4318", "http://127.0.0.1:4318", "grpc://here/", "http://a b/"]
)
def test_an_address_that_is_none_is_refused_with_the_way_to_write_it(given: str) -> None:
    with pytest.raises(ValidationError, match="write the address with its path"):
        Settings(_env_file=None, traces_url=given)


class Accepting:
    """A router that accepts everything, and keeps it."""

    def __init__(self) -> None:
        self.submitted: list[CommandRequest] = []

    async def submit(self, request: CommandRequest, *_: object) -> Accepted:
        self.submitted.append(request)
        return Accepted(request.command.order_id, 1, Position(0, 0))


async def test_a_command_carries_the_span_of_its_request(spans: InMemorySpanExporter) -> None:
    app, router = create_app(None, 10_000, BulkLimits(10_000, 10)), Accepting()  # type: ignore[arg-type]
    app.state.router, app.state.forwarder = router, None
    assert isinstance(app, CommandApp)
    transport = httpx.ASGITransport(traced(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        assert (await client.post("/orders", json=order(), headers={"traceparent": SAMPLED})).status_code == 201
    (submitted,) = router.submitted
    span = only(spans)
    assert (span.name, submitted.traceparent) == ("POST /orders", traceparent(span))


async def test_lines_that_are_sent_on_keep_the_trace_of_their_request() -> None:
    seen: list[tuple[str | None, list[str]]] = []

    async def bulk(request: web.Request) -> web.Response:
        lines = (await request.text()).splitlines()
        seen.append((request.headers.get("traceparent"), lines))
        return web.Response(text="".join(f'{{"line":{number + 1},"status":200}}\n' for number in range(len(lines))))

    app = web.Application()
    app.router.add_post("/commands", bulk)
    async with TestServer(app) as server, ClientSession() as session:
        forwarder, url = LineForwarder(session, "/commands"), str(server.make_url("")).rstrip("/")
        sent = [(b"a1", SAMPLED), (b"b1", ""), (b"a2", SAMPLED), (b"b2", "")]
        relayed = await asyncio.gather(*(forwarder.send(line, trace, url, 10.0) for line, trace in sent))
    assert [type(one) for one in relayed] == [Relayed] * 4
    # The first of each goes at once, the others together after it; or all together.
    by_trace = {trace: [line for one, lines in seen if one == trace for line in lines] for trace in (SAMPLED, None)}
    assert by_trace == {SAMPLED: ["a1", "a2"], None: ["b1", "b2"]}
