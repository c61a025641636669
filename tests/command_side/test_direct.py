"""Commands served directly: the routes found, and the answers given, are those of FastAPI with all its layers."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast
from uuid import UUID

import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.routing import Match
from starlette.types import Message, Scope

from command_side.api import routes
from command_side.api.app import create_app
from command_side.api.bulk import BulkLimits
from command_side.api.direct import CommandApp, CommandRoute, Directory
from command_side.outcomes import Accepted, CommandRequest, Outcome, Unavailable, VersionConflict
from command_side.routing import Router
from eventlog.positions import Position
from tests.kit.requests import order

ORDER = UUID("6f1c1f0a-6a5e-4a55-9d5c-0d5f6f1f2a11")
COMMANDS = [route for route in routes.router.routes if isinstance(route, CommandRoute)]
DIRECTORY = Directory(COMMANDS)
JSON = (b"content-type", b"application/json")

words = sorted({word for route in COMMANDS for word in route.path.split("/") if not word.startswith("{")})
segments = st.one_of(st.sampled_from([*words, str(ORDER), "TEA", "", " ", "orders\n"]), st.text(max_size=3))
paths = st.lists(segments, max_size=6).map(lambda found: "/" + "/".join(found))
near = st.sampled_from(COMMANDS).map(lambda route: route.path.format(order_id=ORDER, sku="TEA"))
methods = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"])


def scope_of(method: str, path: str, *headers: tuple[bytes, bytes]) -> Scope:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "root_path": "",
        "query_string": b"",
        "headers": list(headers),
        "state": {},
    }


@settings(max_examples=300)
@given(methods, st.one_of(near, paths))
def test_a_route_is_found_where_starlette_finds_it(method: str, path: str) -> None:
    found = scope_of(method, path)
    handler = DIRECTORY.find(found)
    matches = [
        child for match, child in (route.matches(scope_of(method, path)) for route in COMMANDS) if match is Match.FULL
    ]
    if handler is None:
        # A newline at the end is no other path for Starlette's patterns; such a request goes its way.
        assert not matches or path.endswith("\n")
    else:
        assert found["path_params"] == matches[0]["path_params"]


class Answering:
    """A router that gives one answer, or raises it, and keeps what was submitted."""

    ready = True

    def __init__(self, answer: Outcome | Exception) -> None:
        self._answer = answer
        self.submitted: list[CommandRequest] = []

    async def submit(self, request: CommandRequest, *_: object) -> Outcome:
        self.submitted.append(request)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


async def asked(scope: Scope, body: list[bytes], answer: Outcome | Exception, *, directly: bool) -> list[Any]:
    """The messages sent for a request, and the command that was submitted."""
    router, sent = Answering(answer), list[Message]()

    @asynccontextmanager
    async def run() -> AsyncIterator[Router]:
        yield cast(Router, router)

    app = create_app(run, 2_000, BulkLimits(2_000, 10))
    app.state.router, app.state.forwarder = router, None
    chunks = iter(body)

    async def receive() -> Message:
        if (chunk := next(chunks, None)) is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk, "more_body": chunk is not body[-1]}

    async def send(message: Message) -> None:
        sent.append(message)

    assert isinstance(app, CommandApp)
    with suppress(ZeroDivisionError):  # Starlette raises a bug again, once it is answered
        await (app(scope, receive, send) if directly else FastAPI.__call__(app, scope, receive, send))
    return [
        *sent,
        [(submitted.command, submitted.fingerprint, submitted.expected_version) for submitted in router.submitted],
    ]


ACCEPTED = Accepted(ORDER, 3, Position(1, 7))
PLACE = ("POST", "/orders")
BODY = json.dumps(order()).encode()
KEY = (b"idempotency-key", b"k")
REQUESTS: dict[str, tuple[tuple[str, str], list[tuple[bytes, bytes]], list[bytes], Outcome | Exception]] = {
    "accepted": (PLACE, [JSON, KEY], [BODY], ACCEPTED),
    "in pieces": (PLACE, [JSON, KEY], [BODY[:100], BODY[100:200], BODY[200:]], ACCEPTED),
    "without a body": (("POST", f"/orders/{ORDER}/confirm"), [KEY], [b""], ACCEPTED),
    "a version": (("DELETE", f"/orders/{ORDER}/lines/TEA"), [(b"if-match", b'"2"')], [b""], VersionConflict(2, 3)),
    "a charset": (PLACE, [(b"content-type", b"Application/JSON; charset=utf-8"), KEY], [BODY], ACCEPTED),
    "no media type": (PLACE, [KEY], [BODY], ACCEPTED),
    "another media type": (PLACE, [(b"content-type", b"text/plain\xff")], [BODY], ACCEPTED),
    "too large": (PLACE, [JSON], [b" " * 1_500, b" " * 1_500], ACCEPTED),
    "no JSON": (PLACE, [JSON], [b"{"], ACCEPTED),
    "an empty body": (PLACE, [JSON], [b""], ACCEPTED),
    "bad fields": (PLACE, [JSON], [json.dumps(order(currency="euro", email="x")).encode()], ACCEPTED),
    "a bad path": (("PATCH", "/orders/42/lines/a b"), [JSON], [b'{"quantity": 0}'], ACCEPTED),
    "a bad key": (PLACE, [JSON, (b"idempotency-key", b"a b")], [BODY], ACCEPTED),
    "two keys": (PLACE, [JSON, KEY, (b"idempotency-key", b"l")], [BODY], ACCEPTED),
    "a bad version": (PLACE, [JSON, (b"if-match", b"2")], [BODY], ACCEPTED),
    "unavailable": (PLACE, [JSON, KEY], [BODY], Unavailable("starting")),
    "a bug": (PLACE, [JSON, KEY], [BODY], ZeroDivisionError("a bug")),
    "no such path": (("POST", f"/orders/{ORDER}/eat"), [JSON], [b"{}"], ACCEPTED),
    "no such method": (("GET", "/orders"), [], [b""], ACCEPTED),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_both_ways_give_one_answer(name: str) -> None:
    (method, path), headers, body, answer = REQUESTS[name]
    direct = await asked(scope_of(method, path, *headers), body, answer, directly=True)
    assert direct == await asked(scope_of(method, path, *headers), body, answer, directly=False)
    assert direct[0]["type"] == "http.response.start"
