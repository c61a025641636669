"""Many commands in one request: a result for each line, in order, whatever is wrong with some of them."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest
from aiohttp import ClientSession
from starlette.types import Message, Receive, Send

from command_side.api.app import create_app
from command_side.api.bulk import BulkLimits
from command_side.api.line_forwarding import LineForwarder
from command_side.outcomes import Outcome, Unanswered, Unavailable
from eventlog.reader import log_ends
from local_stack.infrastructure import Infrastructure
from tests.conftest import settings_for
from tests.kit.bulk import HEADERS, body, place, results, stream
from tests.kit.requests import ADDRESS, order
from tests.kit.worlds import CommandApi, eventually, log_of, prepare


@pytest.fixture(scope="module")
def api(infrastructure: Infrastructure, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandApi]:
    folder = tmp_path_factory.mktemp("bulk")
    settings = settings_for(infrastructure.endpoints, folder, f"t{uuid4().hex[:8]}")
    asyncio.run(prepare(settings))
    process = CommandApi(settings, folder / "api.log")
    process.start()
    yield process
    process.stop()
    assert process.wait(0) == 0


def send(api: CommandApi, lines: list[Any]) -> list[dict[str, Any]]:
    answer = httpx.post(f"{api.url}/commands", content=body(lines), headers=HEADERS, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return results(answer.content)


def test_the_whole_life_of_an_order_in_one_request(api: CommandApi) -> None:
    order_id = str(uuid4())
    steps: list[tuple[str, dict[str, Any]]] = [
        ("add_line", {"body": {"sku": "CUP", "quantity": 1, "unit_price": 500}}),
        ("change_line_quantity", {"sku": "TEA", "body": {"quantity": 1}}),
        ("remove_line", {"sku": "TEA", "if_match": 3}),
        ("change_shipping_address", {"body": ADDRESS}),
        ("confirm_order", {}),
        ("record_payment", {"body": {"amount": 500, "reference": "pay-1"}}),
        ("ship_order", {"body": {"carrier": "DHL", "tracking": "JD01"}}),
        ("deliver_order", {}),
        ("return_lines", {"body": {"lines": [{"sku": "CUP", "quantity": 1}], "reason": "broken"}}),
    ]
    lines = [{"command": name, "idempotency_key": name, "order_id": order_id, **more} for name, more in steps]
    told = send(api, [place("place", order_id=order_id), *lines])
    assert [one["line"] for one in told] == list(range(1, 11))
    assert [one["status"] for one in told] == [201] + [200] * 9
    assert [one["version"] for one in told] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 11]
    assert {one["order_id"] for one in told} == {order_id}
    ends = [
        {"command": name, "idempotency_key": name, "order_id": str(uuid4()), "body": {"reason": "late"}}
        for name in ("reject_order", "cancel_order")
    ]
    assert [one["problem"]["type"] for one in send(api, ends)] == ["urn:orderlog:problem:order-not-found"] * 2


def test_a_bad_line_is_refused_and_the_others_go_on(api: CommandApi) -> None:
    good = place(str(uuid4()))
    order_id = str(uuid4())
    lines: list[tuple[Any, int, str]] = [
        (b"{", 422, "Invalid JSON"),
        (b'{"command": "\xff"}', 422, "Invalid JSON"),
        (b"[]", 422, "Input should be an object"),
        (b"[" * 100_000, 422, "Invalid JSON"),
        ({}, 422, "command: Input should be one of place_order, "),
        ({"command": "fly", "idempotency_key": "k"}, 422, "command: "),
        ({"command": "confirm_order", "order_id": order_id}, 422, "idempotency_key: Field required"),
        ({"command": "confirm_order", "idempotency_key": "a b", "order_id": order_id}, 422, "idempotency_key: "),
        ({"command": "confirm_order", "idempotency_key": "k", "order_id": "42"}, 422, "order_id: "),
        ({**good, "order_id": order_id}, 422, "order_id: Extra inputs are not permitted"),
        ({**good, "if_match": "1"}, 422, "if_match: "),
        (place("k", lines=[{"sku": "A", "quantity": 0, "unit_price": 1}]), 422, "body.lines[0].quantity: "),
        (place("k", currency="XXX"), 422, "'XXX' is not an active ISO 4217 code"),
        (place("k", customer_id="x" * 1_100_000), 413, "a line may have at most 1048576 bytes"),
        ({"command": "confirm_order", "idempotency_key": "k", "order_id": order_id}, 404, "no order"),
    ]
    told = send(api, [good, *(line for line, _, _ in lines), b"  ", b"", place(str(uuid4()))])
    assert [one["line"] for one in told] == [*range(1, len(lines) + 2), len(lines) + 4]
    assert (told[0]["status"], told[-1]["status"]) == (201, 201)
    for one, (_, status, says) in zip(told[1:-1], lines, strict=True):
        assert (one["status"], one["problem"]["status"]) == (status, status)
        assert says in one["problem"]["detail"]
        assert {"type", "title", "instance"} <= set(one["problem"])


def test_what_a_line_is_told_is_what_rest_would_be(api: CommandApi) -> None:
    key, order_id = str(uuid4()), str(uuid4())
    (placed,) = send(api, [place(key, order_id=order_id)])
    again = httpx.post(f"{api.url}/orders", json=order(order_id=order_id), headers={"Idempotency-Key": key})
    assert again.json() == {name: placed[name] for name in ("order_id", "version", "position")}
    for command, path, content in (
        ("ship_order", "ship", {"carrier": "DHL", "tracking": "JD01"}),
        ("confirm_order", "confirm", None),
        ("confirm_order", "confirm", None),
    ):
        # In capitals over REST: the same order, so the same command.
        rest = httpx.post(
            f"{api.url}/orders/{order_id.upper()}/{path}", json=content, headers={"Idempotency-Key": command}
        )
        line = {"command": command, "idempotency_key": command, "order_id": order_id}
        (told,) = send(api, [line | ({"body": content} if content else {})])
        assert told["status"] == rest.status_code
        if rest.is_success:
            assert told["position"] == rest.json()["position"]
        else:
            assert {**told["problem"], "instance": ""} == {**rest.json(), "instance": ""}
    (reused,) = send(api, [place(key, order_id=order_id, currency="GBP")])
    assert reused["problem"]["type"] == "urn:orderlog:problem:idempotency-key-reused"


def test_only_lines_of_json_are_taken(api: CommandApi) -> None:
    answer = httpx.post(f"{api.url}/commands", json=place("k"))
    assert answer.status_code == 415
    assert answer.json()["type"] == "urn:orderlog:problem:unsupported-media-type"
    assert send(api, []) == []


async def test_ten_thousand_lines_in_order_for_a_reader_that_is_slow(api: CommandApi) -> None:
    """Each order has a place and a confirmation, and an order keeps the order of its lines."""
    lines: list[dict[str, Any]] = []
    for n in range(5_000):
        order_id = str(uuid4())
        confirm = {"command": "confirm_order", "idempotency_key": f"c{n}", "order_id": order_id, "if_match": 1}
        lines += [place(f"p{n}", order_id=order_id), confirm]
    seen = 0
    async for told in stream(api.url, lines):
        seen += 1
        assert (told["line"], told["version"]) == (seen, 1 if seen % 2 else 2), told
        if seen % 100 == 0:
            await asyncio.sleep(0.001)
    assert seen == len(lines)


async def test_results_come_while_the_request_is_still_being_sent(api: CommandApi) -> None:
    where = httpx.URL(api.url)
    reader, writer = await asyncio.open_connection(where.host, where.port)
    writer.write(b"POST /commands HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n")
    line = body([place(str(uuid4()))])
    writer.write(b"Content-Length: %d\r\n\r\n%s" % (2 * len(line), line))
    async with asyncio.timeout(30):
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        assert b'"line":1,"status":201' in await reader.readuntil(b"}\n")
        writer.write(line)
        assert b'"line":2,"status":201' in await reader.readuntil(b"}\n")
    writer.close()


async def test_a_client_that_goes_away_stops_it(api: CommandApi) -> None:
    before = await _events(api)

    def endless() -> Iterator[dict[str, Any]]:
        while True:
            yield place(str(uuid4()))

    results_ = stream(api.url, endless())
    async for told in results_:
        if told["line"] == 10:
            break
    await results_.aclose()  # type: ignore[attr-defined]
    seen: list[int] = []

    async def no_more() -> bool:
        seen.append(await _events(api))
        return len(seen) > 20 and seen[-1] == seen[-20]

    await eventually(no_more)
    assert seen[-1] >= before + 10
    (told,) = await asyncio.to_thread(send, api, [place(str(uuid4()))])
    assert told["status"] == 201


async def _events(api: CommandApi) -> int:
    return sum((await log_ends(api.settings.kafka_bootstrap, api.settings.topic("order.events"))).values())


class _Undecided:
    """Takes `most` commands and decides none. `settled` is what its futures raise, if anything."""

    def __init__(self, most: int, settled: Exception | None = None) -> None:
        self.taken, self.most, self.settled = 0, most, settled

    def enqueue(self, *_: Any) -> "asyncio.Future[Outcome]":
        if self.taken >= self.most:
            raise Unavailable("enough")
        self.taken += 1
        undecided: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        if self.settled:
            undecided.set_exception(self.settled)
        return undecided


async def call(limits: BulkLimits, router: _Undecided, receive: Receive, send: Send) -> None:
    """A bulk request to an application with this router."""
    app = create_app(None, 10_000, limits)  # type: ignore[arg-type]
    app.state.router, app.state.line_forwarder = router, LineForwarder(cast(ClientSession, None), "/commands")
    headers = [(b"content-type", b"application/x-ndjson")]
    scope = {"type": "http", "method": "POST", "path": "/commands", "headers": headers, "query_string": b"", "app": app}
    await app(scope, receive, send)


async def test_no_more_is_read_than_may_be_under_way() -> None:
    router, pieces = _Undecided(most=1_000), 0

    async def receive() -> Message:
        nonlocal pieces
        pieces += 1
        return {"type": "http.request", "body": body([place(str(pieces))]), "more_body": True}

    async def send(_: Message) -> None:
        pass

    request = asyncio.create_task(call(BulkLimits(10_000, 50), router, receive, send))
    await eventually(lambda: router.taken >= 50)
    for _ in range(1_000):
        await asyncio.sleep(0)
    assert router.taken == pieces <= 52
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request


async def test_a_line_that_is_not_answered_or_not_taken_is_503() -> None:
    sent = bytearray()

    async def receive() -> Message:
        return {"type": "http.request", "body": body([place("taken"), place("refused")]), "more_body": False}

    async def send(message: Message) -> None:
        sent.extend(message.get("body", b""))

    await call(BulkLimits(10_000, 50), _Undecided(most=1, settled=Unanswered("nobody knows")), receive, send)
    told = results(bytes(sent))
    assert [one["status"] for one in told] == [503, 503]
    types = [one["problem"]["type"].rpartition(":")[2] for one in told]
    assert types == ["outcome-unknown", "unavailable"]


async def test_when_it_was_placed_is_told_apart_from_when_it_was_recorded(api: CommandApi) -> None:
    key = str(uuid4())
    (told,) = send(api, [place(key, placed_at="2024-05-01T09:30:00.123456+02:00")])
    (same,) = send(api, [place(key, placed_at="2024-05-01T07:30:00.123456Z")])
    assert same["position"] == told["position"], "one instant is one value"
    codec = await prepare(api.settings)
    (recorded,) = [one for one in await log_of(api.settings, codec) if one.metadata.command_id == key]
    assert recorded.metadata.time.isoformat() == "2024-05-01T07:30:00.123456+00:00"
    assert recorded.recorded_at.year > 2024


@pytest.mark.parametrize(
    ("placed_at", "says"),
    [
        (1714548600, "2024-05-01T09:30:00+02:00"),
        ("1714548600", "2024-05-01T09:30:00+02:00"),
        ("2024-05-01T09:30:00", "2024-05-01T09:30:00+02:00"),
        ("2024-05-01", "2024-05-01T09:30:00+02:00"),
        ("2024-13-01T09:30:00Z", "month"),
        ("1999-12-31T23:59:59Z", "before the year 2000"),
        ("2199-12-31T23:59:59Z", "in the future"),
    ],
)
def test_a_time_must_be_a_time_of_the_past(api: CommandApi, placed_at: Any, says: str) -> None:
    answer = httpx.post(f"{api.url}/orders", json=order(placed_at=placed_at))
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == "body.placed_at"
    assert says in error["problem"]


def test_it_is_described(api: CommandApi) -> None:
    described = httpx.get(f"{api.url}/openapi.json").json()["paths"]["/commands"]["post"]
    content = described["requestBody"]["content"]["application/x-ndjson"]
    told = send(api, content["example"].encode().splitlines())
    example = described["responses"]["200"]["content"]["application/x-ndjson"]["example"]
    for one, documented in zip(told, map(json.loads, example.splitlines()), strict=True):
        assert {**one, "position": ""} == {**documented, "position": ""} or one["problem"] == documented["problem"]
