"""A subscriber whose tasks cannot be done stops taking messages in, says so, and goes on afterwards."""

import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from eventlog import topic_admin
from eventlog.settings import Settings
from local_stack.ports import free_port
from schemas.public_events import OrderPlaced
from tests.kit.subscribers import PublicTopics, Subscriber, placed
from tests.kit.worlds import eventually
from tests.subscribers.partner import PARTNER
from tests.subscribers.test_runner import execute

MOST_DUE = 5
LARGE = 100_000  # bytes


class Server(ThreadingHTTPServer):
    """The partner's server, once it is opened; `told` counts the keys it got."""

    def __init__(self, port: int) -> None:
        self.told = Counter[str]()
        super().__init__(("127.0.0.1", port), Told)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Told(BaseHTTPRequestHandler):
    """Takes note of who is told of."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(self.server, Server)
        self.server.told[self.headers["Idempotency-Key"]] += 1
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """Where the partner's server is to be; it is not there yet."""
    port = free_port()
    monkeypatch.setenv("PARTNER_URL", f"http://127.0.0.1:{port}/")
    return port


@pytest.fixture
def subscriber(settings: Settings, tmp_path: Path, port: int) -> Iterator[Subscriber]:
    bounded = settings.model_copy(update={"max_tasks_due": MOST_DUE})
    one = Subscriber(bounded, tmp_path / "partner.log", "partner", "tests.subscribers.partner")
    yield one
    one.stop()


def reason(subscriber: Subscriber) -> str:
    """Why it is not ready; nothing when it is."""
    return httpx.get(f"{subscriber.url}/readyz").json()["reason"] or ""


def pauses(subscriber: Subscriber) -> float:
    """How often it has found its outbox full."""
    families = text_string_to_metric_families(httpx.get(f"{subscriber.url}/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    return next((one.value for one in samples if one.labels.get("cause") == "outbox"), 0)


def large() -> OrderPlaced:
    """An order that is many bytes."""
    return OrderPlaced(uuid4(), 1, "c" * LARGE, "EUR", placed(uuid4()).lines, 100, None)


async def test_a_full_outbox_stops_the_intake_and_memory_stays_bounded(
    topics: PublicTopics, settings: Settings, subscriber: Subscriber, port: int
) -> None:
    await topic_admin.apply(settings, [PARTNER.dead_letters])
    sent = topics.publish(*(placed(uuid4()) for _ in range(20)))
    subscriber.start_only()
    await eventually(lambda: execute(settings, "SELECT 1 FROM subscribers.inbox LIMIT 1"), subscriber)
    await eventually(lambda: "its outbox is full" in reason(subscriber), subscriber)
    taken, before = execute(settings, "SELECT count(*) FROM subscribers.inbox"), pauses(subscriber)
    memory = psutil.Process(subscriber.pid).memory_info().rss
    sent += topics.publish(*(large() for _ in range(600)))
    await eventually(lambda: pauses(subscriber) > before + 3, subscriber)
    assert execute(settings, "SELECT count(*) FROM subscribers.inbox") == taken
    assert "its outbox is full" in reason(subscriber)
    assert "the partner does not answer" in reason(subscriber)
    assert len(subscriber.logged("subscriber_waits")) <= 3  # it says so once, and not each time it looks
    assert psutil.Process(subscriber.pid).memory_info().rss - memory < 200 * LARGE  # of three times as many
    server = Server(port)
    try:
        await eventually(lambda: len(server.told) == len(sent), subscriber)
        await eventually(subscriber.is_ready, subscriber)
    finally:
        server.shutdown()
    assert set(server.told) == {f"post:{message.event_id}" for message in sent}
