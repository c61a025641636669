"""The command API as a real process on a real log, over HTTP."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from eventlog.reader import log_ends
from local_stack.infrastructure import Infrastructure
from tests.conftest import settings_for
from tests.kit.requests import ADDRESS, order
from tests.kit.worlds import CommandApi, prepare


@pytest.fixture(scope="module")
def api(infrastructure: Infrastructure, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandApi]:
    folder = tmp_path_factory.mktemp("api")
    settings = settings_for(infrastructure.endpoints, folder, f"t{uuid4().hex[:8]}")
    asyncio.run(prepare(settings))
    process = CommandApi(settings, folder / "api.log")
    process.start()
    yield process
    process.stop()
    assert process.wait(0) == 0


@pytest.fixture
def client(api: CommandApi) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=api.url, timeout=30) as opened:
        yield opened


def events(api: CommandApi) -> int:
    """Records in the log."""
    return sum(asyncio.run(log_ends(api.settings.kafka_bootstrap, api.settings.topic("order.events"))).values())


def placed(client: httpx.Client, **changes: Any) -> str:
    answer = client.post("/orders", json=order(**changes))
    assert answer.status_code == 201, answer.text
    return f"/orders/{answer.json()['order_id']}"


def test_the_whole_life_of_an_order(client: httpx.Client) -> None:
    path = placed(client)
    steps: list[tuple[str, str, Any]] = [
        ("POST", "/lines", {"sku": "CUP", "quantity": 1, "unit_price": 500}),
        ("PATCH", "/lines/TEA", {"quantity": 1}),
        ("DELETE", "/lines/TEA", None),
        ("PUT", "/shipping-address", ADDRESS),
        ("POST", "/confirm", None),
        ("POST", "/payments", {"amount": 500, "reference": "pay-1"}),
        ("POST", "/ship", {"carrier": "DHL", "tracking": "JD01"}),
        ("POST", "/deliver", None),
        ("POST", "/returns", {"lines": [{"sku": "CUP", "quantity": 1}], "reason": "broken"}),
    ]
    for version, (method, below, body) in enumerate(steps, start=2):
        answer = client.request(method, path + below, json=body)
        assert answer.status_code == 200, answer.text
        # A return leaves two events: what came back, and the refund.
        assert answer.json()["version"] == version + (below == "/returns")
        assert answer.headers["etag"] == f'"{answer.json()["version"]}"'
        assert answer.headers["orderlog-position"] == answer.json()["position"]


@pytest.mark.parametrize("ending", ["reject", "cancel"])
def test_an_order_may_end_early(client: httpx.Client, ending: str) -> None:
    path = placed(client)
    assert client.post(f"{path}/{ending}", json={"reason": "out of stock"}).status_code == 200
    refused = client.post(f"{path}/confirm")
    assert refused.status_code == 409
    assert refused.headers["content-type"] == "application/problem+json"
    problem = refused.json()
    assert problem["type"] == "urn:orderlog:problem:order-not-open"
    assert problem["order_status"] == {"reject": "rejected", "cancel": "cancelled"}[ending]
    assert problem["order_version"] == 2


LINE = {"sku": "TEA", "quantity": 1, "unit_price": 1}
BAD_ORDERS: list[tuple[dict[str, Any], str]] = [
    (order(discount=5), "body.discount"),
    (order(currency=5), "body.currency"),
    (order(currency="euro"), "body.currency"),
    (order(email="nobody"), "body.email"),
    (order(email="a@b\x00"), "body.email"),
    (order(customer_id=""), "body.customer_id"),
    (order(customer_id="tab\there"), "body.customer_id"),
    (order(customer_id="x" * 101), "body.customer_id"),
    (order(order_id="42"), "body.order_id"),
    (order(lines=[]), "body.lines"),
    (order(lines=[LINE] * 10_000), "body.lines"),
    (order(lines=[{**LINE, "quantity": -1}]), "body.lines[0].quantity"),
    (order(lines=[{**LINE, "quantity": 10**30}]), "body.lines[0].quantity"),
    (order(lines=[{**LINE, "quantity": 1.5}]), "body.lines[0].quantity"),
    (order(lines=[{**LINE, "quantity": "1"}]), "body.lines[0].quantity"),
    (order(lines=[{**LINE, "quantity": True}]), "body.lines[0].quantity"),
    (order(lines=[{**LINE, "unit_price": -1}]), "body.lines[0].unit_price"),
    (order(lines=[{**LINE, "sku": "a b"}]), "body.lines[0].sku"),
    (order(shipping_address={**ADDRESS, "city": " "}), "body.shipping_address.city"),
    (order(shipping_address={**ADDRESS, "country": "England"}), "body.shipping_address.country"),
    (order(shipping_address={**ADDRESS, "street": "\u0007"}), "body.shipping_address.street"),
]


@pytest.mark.parametrize(("body", "field"), BAD_ORDERS, ids=[f"{n}-{field}" for n, (_, field) in enumerate(BAD_ORDERS)])
def test_a_bad_field_is_named_and_nothing_appended(
    api: CommandApi, client: httpx.Client, body: dict[str, Any], field: str
) -> None:
    before = events(api)
    answer = client.post("/orders", json=body)
    assert answer.status_code == 422, answer.text
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert events(api) == before


def raw(content: bytes, media_type: str = "application/json") -> dict[str, Any]:
    return {"url": "/orders", "content": content, "headers": {"content-type": media_type}}


def with_header(name: str, value: str) -> dict[str, Any]:
    return {"url": "/orders", "json": order(), "headers": {name: value}}


@pytest.mark.parametrize(
    ("request_", "status", "type_"),
    [
        ({"url": "/nowhere"}, 404, "not-found"),
        ({"method": "GET", "url": "/orders"}, 405, "method-not-allowed"),
        ({"url": f"/orders/{UUID(int=42)}/confirm"}, 404, "order-not-found"),
        ({"url": "/orders/42/confirm"}, 422, "invalid-request"),
        (raw(b"{"), 422, "invalid-request"),
        (raw(b'{"email": "\xff"}'), 422, "invalid-request"),
        (raw(b"[" * 100_000), 422, "invalid-request"),
        (raw(b"a=b", "application/x-www-form-urlencoded"), 415, "unsupported-media-type"),
        (raw(bytes(10 * 2**20)), 413, "body-too-large"),
        (with_header("If-Match", "3"), 400, "bad-request"),
        (with_header("Idempotency-Key", "a b"), 400, "bad-request"),
        ({"url": "/orders", "json": order(currency="XXX")}, 422, "unknown-currency"),
        ({"url": "/orders", "json": order(lines=[LINE, LINE])}, 422, "duplicate-sku"),
    ],
)
def test_every_error_is_a_problem_and_appends_nothing(
    api: CommandApi, client: httpx.Client, request_: dict[str, Any], status: int, type_: str
) -> None:
    before = events(api)
    answer = client.request(**{"method": "POST", **request_})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == f"urn:orderlog:problem:{type_}"
    assert {"title", "status", "detail", "instance"} <= set(problem)
    assert events(api) == before


def test_if_match_holds_the_order_to_a_version(api: CommandApi, client: httpx.Client) -> None:
    path = placed(client)
    stale = client.patch(f"{path}/lines/TEA", json={"quantity": 3}, headers={"If-Match": '"7"'})
    assert (stale.status_code, stale.json()["current_version"]) == (412, 1)
    assert stale.headers["etag"] == '"1"'
    assert client.patch(f"{path}/lines/TEA", json={"quantity": 3}, headers={"If-Match": '"1"'}).status_code == 200


async def test_of_many_with_one_if_match_exactly_one_wins(api: CommandApi) -> None:
    async with httpx.AsyncClient(base_url=api.url, timeout=30) as client:
        order_id = (await client.post("/orders", json=order())).json()["order_id"]
        path = f"/orders/{order_id}/lines/TEA"
        answers = await asyncio.gather(
            *(client.patch(path, json={"quantity": n}, headers={"If-Match": '"1"'}) for n in range(3, 23))
        )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 19


async def test_concurrent_repeats_of_a_key_are_one_order(api: CommandApi) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    async with httpx.AsyncClient(base_url=api.url, timeout=30) as client:
        answers = await asyncio.gather(*(client.post("/orders", json=order(), headers=headers) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1


def test_a_key_belongs_to_one_request(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    assert client.post("/orders", json=order(), headers=headers).status_code == 201
    reused = client.post("/orders", json=order(currency="GBP"), headers=headers)
    assert (reused.status_code, reused.json()["type"]) == (422, "urn:orderlog:problem:idempotency-key-reused")


def test_the_order_of_fields_does_not_make_another_request(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": str(uuid4()), "Content-Type": "application/json"}
    first = client.post("/orders", content=json.dumps(order()), headers=headers)
    again = client.post("/orders", content=json.dumps(dict(reversed(order().items()))), headers=headers)
    assert (first.status_code, again.text) == (201, first.text)


def test_after_kill_9_keys_and_versions_are_as_before(api: CommandApi, client: httpx.Client) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    first = client.post("/orders", json=order(), headers=headers)
    path = f"/orders/{first.json()['order_id']}"
    assert client.post(f"{path}/confirm").json()["version"] == 2
    api.kill()
    api.start()
    assert client.post("/orders", json=order(), headers=headers).text == first.text
    assert client.post(f"{path}/cancel", json={"reason": "late"}, headers={"If-Match": '"1"'}).status_code == 412
    assert client.post(f"{path}/cancel", json={"reason": "late"}, headers={"If-Match": '"2"'}).json()["version"] == 3


def test_health_and_documentation(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready", "waiting": []}
    described = client.get("/openapi.json").json()
    place = described["paths"]["/orders"]["post"]
    assert {"201", "409", "413", "415", "422", "503"} <= set(place["responses"])
    assert "Idempotency-Key" in [parameter["name"] for parameter in place["parameters"]]
    assert client.get("/docs").status_code == 200
