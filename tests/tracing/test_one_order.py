"""One order through every service, as real processes: what it causes is one trace, each step under its cause."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from eventlog.settings import Settings
from local_stack import preparing
from local_stack.services import with_mailbox
from tests.kit.mailbox import MailboxProcess
from tests.kit.requests import order
from tests.kit.subscribers import Subscriber
from tests.kit.worlds import CommandApi, QueryApi, Worker, eventually
from tests.tracing.collector import Collector, Seen, collecting

TRACE, CLIENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SKU = "TEA-1"

PLACE = "command-api: POST /orders"
APPEND_PLACED, APPEND_CONFIRMED = "command-api: send order.events", "command-api: send order.events (2)"

# Each span, and the one it is under.
UNDER = {
    PLACE: CLIENT,
    APPEND_PLACED: PLACE,
    "projection-orders: process order.events": APPEND_PLACED,
    "projection-public: process order.events": APPEND_PLACED,
    "projection-public: send order.placed": "projection-public: process order.events",
    "subscriber-inventory: process order.placed": "projection-public: send order.placed",
    "subscriber-order_process: process order.placed": "projection-public: send order.placed",
    "subscriber-email: process order.placed": "projection-public: send order.placed",
    "subscriber-inventory: send inventory.reserved": "subscriber-inventory: process order.placed",
    "subscriber-order_process: process inventory.reserved": "subscriber-inventory: send inventory.reserved",
    "subscriber-order_process: send command": "subscriber-order_process: process inventory.reserved",
    "command-api: POST /orders/{order_id}/confirm": "subscriber-order_process: send command",
    APPEND_CONFIRMED: "command-api: POST /orders/{order_id}/confirm",
    "projection-orders: process order.events (2)": APPEND_CONFIRMED,
    "projection-public: process order.events (2)": APPEND_CONFIRMED,
    "projection-public: send order.confirmed": "projection-public: process order.events (2)",
    "subscriber-order_process: process order.confirmed": "projection-public: send order.confirmed",
    "subscriber-email: process order.confirmed": "projection-public: send order.confirmed",
    "subscriber-email: send mail": "subscriber-email: process order.confirmed",
    "query-api: GET /orders/{order_id}": CLIENT,
}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")  # ms until spans are sent
    with collecting() as collector:
        yield collector


async def test_an_order_is_one_trace_from_the_request_to_the_mail(
    settings: Settings, collector: Collector, tmp_path: Path
) -> None:
    traced = settings.model_copy(update={"traces_url": collector.url})
    await preparing.prepare(traced)
    with ExitStack() as running:
        mailbox = MailboxProcess(traced, tmp_path / "mailbox.log")
        api = CommandApi(traced, tmp_path / "command-api.log")
        query = QueryApi(traced, tmp_path / "query-api.log")
        inventory = Subscriber(traced, tmp_path / "inventory.log", "inventory")
        manager = Subscriber(_commanding(traced, api), tmp_path / "manager.log", "order_process")
        email = Subscriber(with_mailbox(mailbox.settings), tmp_path / "email.log", "email")
        views = [Worker(traced, tmp_path / f"{name}.log", name) for name in ("orders", "public")]
        for child in (*views, api, inventory, manager, mailbox, email, query):
            running.callback(child.stop)
            await asyncio.to_thread(child.start)
        position = await _ordered(api, query, inventory)
        (mail,) = await eventually(mailbox.mails, email)
        assert "is confirmed" in mail["subject"]
        await eventually(lambda: len(collector.of(TRACE)) >= len(UNDER))
    assert position
    spans = collector.of(TRACE)
    assert _under(spans, settings.topic_prefix) == UNDER
    assert not [span.what for span in spans if span.failed]
    assert not [span.what for span in collector.spans if "order.placed" in span.name and span.trace_id != TRACE]


def _commanding(settings: Settings, api: CommandApi) -> Settings:
    return settings.model_copy(update={"command_url": api.url})


async def _ordered(api: CommandApi, query: QueryApi, inventory: Subscriber) -> str:
    """Place an order whose stock is there, in a trace, and read it in the same; its position."""
    trace = {"traceparent": f"00-{TRACE}-{CLIENT}-01"}
    async with httpx.AsyncClient(timeout=30) as client:
        received = await client.post(f"{inventory.url}/stock/{SKU}/receipts", json={"quantity": 100})
        assert received.status_code == 200, received.text
        lines = [{"sku": SKU, "quantity": 2, "unit_price": 250}]
        placed = await client.post(f"{api.url}/orders", json=order(lines=lines), headers=trace)
        assert placed.status_code == 201, placed.text
        position = placed.headers["orderlog-position"]
        headers = {**trace, "Orderlog-Min-Position": position}
        shown = await client.get(f"{query.url}/orders/{placed.json()['order_id']}", headers=headers)
        assert shown.status_code == 200, shown.text
    return position


def _under(spans: list[Seen], topic_prefix: str) -> dict[str, str]:
    """{span: the one it is under}; the second one of a name, by where its record is, is told so."""
    names: dict[str, str] = {}
    for span in sorted(spans, key=lambda span: int(span.attributes.get("messaging.kafka.offset", 0))):
        what = span.what.replace(topic_prefix, "")
        names[span.span_id] = f"{what} (2)" if what in names.values() else what
    return {names[span.span_id]: names.get(span.parent_id, span.parent_id) for span in spans}
