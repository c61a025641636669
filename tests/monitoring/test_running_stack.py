"""Every process of a running stack: what it tells is what the page says, and what dashboards and alerts ask for."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from local_stack.services import SERVICES
from tests.kit.checkouts import START_S, Checkout
from tests.kit.clients import Clients
from tests.kit.worlds import eventually
from tests.monitoring import dashboards
from tests.monitoring.page import scraped, written
from tests.monitoring.prometheus import Prometheus, scraping

pytestmark = pytest.mark.timeout(2 * START_S + 300)


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """{name of a service: its URL}, of a stack that all tests here share."""
    here = Checkout(tmp_path_factory.mktemp("watched"))
    started = here.run("up")
    try:
        assert started.returncode == 0, started.stderr
        yield here.urls()
    finally:
        here.run("down")


@pytest.mark.parametrize("service", [service.name for service in SERVICES])
def test_each_process_has_the_metrics_of_the_page_and_no_others(urls: dict[str, str], service: str) -> None:
    answer = httpx.get(f"{urls[service]}/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    page, kind = written(), service.partition("-")[0]
    of = {"projection": "projections", "subscriber": "subscribers"}.get(kind, service)
    said = {metric.name: metric for metric in [*page["all"], *page.get(of, [])]}
    found = {metric.name: metric for metric in scraped(answer.text)}
    assert found.keys() == said.keys()
    assert {name: one.type for name, one in found.items()} == {name: one.type for name, one in said.items()}
    for name, one in found.items():
        assert one.labels in (None, said[name].labels), name
    if promtool := shutil.which("promtool"):
        lint = [promtool, "check", "metrics"]
        done = subprocess.run(lint, input=answer.text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.skipif(not shutil.which("prometheus"), reason="Prometheus is not installed: apt-get install prometheus")
async def test_every_panel_and_alert_has_data_of_a_real_run(urls: dict[str, str], tmp_path: Path) -> None:
    async with traffic(urls):
        with scraping(urls, tmp_path / "prometheus") as prometheus:
            await eventually(lambda: set(prometheus.targets().items()) == {(one.name, "up") for one in SERVICES})
            waiting = {
                (name, *panel): query
                for name in dashboards.NAMES
                for panel, query in dashboards.queries(name, interval="20s").items()
            }
            try:
                await eventually(lambda: not _still_without_data(prometheus, waiting), timeout_s=120)
            except TimeoutError:
                raise AssertionError(f"panels without data: {waiting}") from None
            rules = await eventually(lambda: _evaluated(prometheus.rules()))
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"} == {}
    assert {rule["name"] for rule in rules if rule["state"] == "firing"} == set()


def _still_without_data(prometheus: Prometheus, waiting: dict[tuple[str, str, str], str]) -> bool:
    """Take out of `waiting` what has data now; whether anything is left."""
    for panel, query in list(waiting.items()):
        if any(sample["value"][1] != "NaN" for sample in prometheus.query(query)):
            del waiting[panel]
    return bool(waiting)


def _evaluated(rules: list[dict[str, str]]) -> list[dict[str, str]]:
    return rules if all(rule["health"] != "unknown" for rule in rules) else []


@asynccontextmanager
async def traffic(urls: dict[str, str]) -> AsyncIterator[None]:
    """Orders are placed, changed and read while this is entered."""
    clients = Clients([urls["command-api"]], seed=8)
    tasks = [asyncio.create_task(clients.run(at_once=1)), asyncio.create_task(_read(urls["query-api"], clients))]
    try:
        yield
    finally:
        clients.end()
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(url: str, clients: Clients) -> None:
    async with httpx.AsyncClient(timeout=30, base_url=url) as http:
        while True:
            for answered in clients.acknowledged[-5:]:
                await http.get(f"/orders/{answered.order_id}", headers={"Orderlog-Min-Position": answered.position})
            await http.get("/stats/orders-by-status")
            await asyncio.sleep(0.1)
