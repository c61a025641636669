"""Every page as HTML: with a view and nothing else, with nothing at all; and what is not a page."""

from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest

from eventlog.settings import Settings
from local_stack.ports import free_port
from query_side.bootstrap import build_app
from query_side.dashboard.rendering import PAGES
from schemas.events import OrderConfirmed
from tests.projections.histories import placed
from tests.query_side.served import View, client_of

PATHS = [address for _, _, address in PAGES]


@pytest.fixture
async def alone(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The query API where nothing else is: no Kafka, no Postgres, no worker."""
    nowhere = f"127.0.0.1:{free_port()}"
    away = settings.model_copy(
        update={
            "kafka_bootstrap": nowhere,
            "registry_url": f"http://{nowhere}",
            "postgres_url": f"postgresql://{nowhere}/nothing",
            "worker_port": free_port(),
            "inventory_port": free_port(),
            "command_api_port": free_port(),
        }
    )
    async with client_of(build_app(away)) as http:
        yield http


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_says_what_is_away(alone: httpx.AsyncClient, path: str) -> None:
    answer = await alone.get(path)
    assert answer.status_code == 200
    text = answer.text
    assert "does not answer" in text or "No order fits" in text
    assert 'aria-current="page"' in text
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    assert "style=" not in text
    assert "<script>" not in text


async def test_an_order_and_a_parked_event_that_cannot_be_had(alone: httpx.AsyncClient) -> None:
    assert (await alone.get(f"/dashboard/orders/{uuid4()}")).status_code == 503
    assert (await alone.get("/dashboard/parked/orders?id=0:1")).status_code == 502
    assert (await alone.get("/dashboard/parked/orders?id=../rebuild")).status_code == 404
    assert (await alone.get("/dashboard/parked/nobody?id=0:1")).status_code == 404
    headers = {"Origin": "http://query", "Sec-Fetch-Site": "same-origin"}
    answer = await alone.post("/dashboard/do/rebuild/orders", headers=headers)
    assert answer.status_code == 502
    assert "does not answer" in answer.text


async def test_only_pages_have_a_stream(client: httpx.AsyncClient) -> None:
    assert (await client.get("/dashboard/events?page=nothing")).status_code == 404


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_of_an_empty_stack(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 200


async def test_an_order_is_stepped_through(view: View, client: httpx.AsyncClient) -> None:
    order = placed(customer_id="<b>customer</b>")
    await view.feed(0, [order, OrderConfirmed(order.order_id, 998)])
    path = f"/dashboard/orders/{order.order_id}"
    newest = (await client.get(path)).text
    assert "What OrderConfirmed changed" in newest
    assert "<del>open</del>" in newest
    assert "<ins>confirmed</ins>" in newest
    assert "&lt;b&gt;customer&lt;/b&gt;" in newest
    assert "<b>customer" not in newest
    assert "What OrderPlaced changed" in (await client.get(f"{path}?version=1")).text
    for wrong in ("0", "3", "-1", "x", "9" * 30):
        assert (await client.get(f"{path}?version={wrong}")).status_code == 404
    assert (await client.get("/dashboard/orders/none")).status_code == 404
    assert (await client.get(f"/dashboard/orders/{uuid4()}")).status_code == 404
    assert str(order.order_id) in (await client.get("/dashboard/orders", params={"q": str(order.order_id)})).text
    assert str(order.order_id) in (await client.get("/dashboard/orders", params={"status": "confirmed"})).text
    assert "No order fits" in (await client.get("/dashboard/orders", params={"status": "shipped"})).text
    assert "status:" in (await client.get("/dashboard/orders", params={"status": "eaten"})).text


async def test_nothing_is_done_for_a_form_from_elsewhere(client: httpx.AsyncClient) -> None:
    for headers in ({}, {"Origin": "http://elsewhere"}, {"Origin": "http://query", "Sec-Fetch-Site": "cross-site"}):
        answer = await client.post("/dashboard/do/rebuild/orders", headers=headers)
        assert answer.status_code == 403
        assert "Nothing was done" in answer.text
    assert (await client.get("/dashboard/do/rebuild/orders")).status_code == 405


async def test_only_what_there_is_can_be_asked_for(client: httpx.AsyncClient) -> None:
    assert (await client.get("/dashboard/confirm/erase/orders")).status_code == 404
    assert (await client.get("/dashboard/confirm/rebuild/nobody")).status_code == 404
    assert (await client.get("/dashboard/static/../routes.py")).status_code == 404
    assert (await client.get("/dashboard/static/%2e%2e/routes.py")).status_code == 404
    script = await client.get("/dashboard/static/dashboard.js")
    assert script.headers["content-type"].startswith("text/javascript")
    headers = {"Origin": "http://query"}
    too_long = await client.post("/dashboard/do/rebuild/orders", headers=headers, content=b"a=" + b"x" * 20_000)
    assert too_long.status_code == 404
