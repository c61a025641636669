"""The dashboard in a real browser, on the whole system as `orderlog up` starts it: one stack for all tests here."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import psycopg
import pytest

from tests.kit.checkouts import Checkout
from tests.kit.requests import order

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no browser at {CHROMIUM}")

PAGES = ("", "/rebuild", "/parked", "/orders", "/orders?by=day", "/write-side", "/backbone", "/confirm/rebuild/orders")
PATIENCE_MS = 60_000


class Stack:
    """The running system."""

    def __init__(self, checkout: Checkout) -> None:
        self._checkout = checkout
        self.urls = checkout.urls()
        self.dashboard = f"{self.urls['query-api']}/dashboard"

    def place(self, *, confirm: bool = False) -> str:
        """Place an order and wait until the view has it; its id."""
        placed = httpx.post(
            f"{self.urls['command-api']}/orders", json=order(), headers={"Idempotency-Key": str(uuid4())}
        )
        assert placed.status_code == 201, placed.text
        order_id, position = str(placed.json()["order_id"]), placed.headers["orderlog-position"]
        if confirm:
            confirmed = httpx.post(f"{self.urls['command-api']}/orders/{order_id}/confirm")
            # The order process may have been quicker, or has rejected it for want of stock.
            position = confirmed.headers.get("orderlog-position", position)
        headers = {"Orderlog-Min-Position": position}
        # A worker that begins again, after a rebuild, takes longer than a query waits.
        _eventually(lambda: httpx.get(f"{self.urls['query-api']}/orders/{order_id}", headers=headers).is_success)
        return order_id

    def query_api(self) -> psutil.Process:
        """Its process."""
        return next(one for one in self._checkout.processes() if one.cmdline()[-2:] == ["serve", "query-api"])


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    checkout = Checkout(tmp_path_factory.mktemp("dashboard"))
    try:
        up = checkout.run("up")
        assert up.returncode == 0, up.stderr
        yield Stack(checkout)
    finally:
        checkout.run("down")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        # As root, and in containers, there is no sandbox to be had.
        yield (found := started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"]))
        found.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    playwright.expect.set_options(timeout=PATIENCE_MS)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_loads_without_errors_and_fits_a_phone(stack: Stack, browser: Any, scheme: str) -> None:
    order_id = stack.place()
    context = browser.new_context(color_scheme=scheme, viewport={"width": 360, "height": 800})
    page, said = context.new_page(), list[str]()
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("requestfailed", lambda request: None if "/events" in request.url else said.append(request.url))
    here = stack.urls["query-api"]
    page.on("request", lambda request: None if request.url.startswith(here) else said.append(request.url))
    for path in (*PAGES, f"/orders/{order_id}"):
        page.goto(stack.dashboard + path)
        if page.locator("#live").count():
            _updated(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
        red, green, blue = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3)")
        assert (int(red) + int(green) + int(blue) < 200) == (scheme == "dark")
    context.close()
    assert said == []


def test_figures_change_by_themselves_and_are_those_of_the_api(stack: Stack, page: Any) -> None:
    page.goto(stack.dashboard)
    figures = page.locator("[data-figure^='orders-'][data-figure$='-position']")
    before = figures.all_inner_texts()
    stack.place()
    _eventually(lambda: figures.all_inner_texts() != before)

    def same() -> bool:
        answer = httpx.get(f"{stack.urls['query-api']}/positions").json()["projections"]
        (orders,) = (one for one in answer if one["name"] == "orders")
        shown: list[str] = figures.all_inner_texts()
        return shown == [f"{one['position']:,}" for one in orders["partitions"]]

    _eventually(same)
    page.goto(f"{stack.dashboard}/orders")
    stack.place()

    def counted() -> bool:
        statuses = httpx.get(f"{stack.urls['query-api']}/stats/orders-by-status").json()["statuses"]
        shown = [page.locator(f"[data-figure='orders-{one['status']}']").inner_text() for one in statuses]
        return [f"{one['orders']:,}" for one in statuses] == shown

    _eventually(counted)


def test_the_keyboard_is_enough(stack: Stack, page: Any) -> None:
    page.goto(stack.dashboard)
    page.keyboard.press("Tab")
    assert _focused(page) == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.goto(stack.dashboard)
    names = []
    for _ in range(8):
        page.keyboard.press("Tab")
        names.append(_focused(page))
    assert names[2:] == ["Projections", "Rebuild", "Parked", "Orders", "Write side", "Backbone"]
    for _ in range(4):
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    playwright.expect(page.locator("h1")).to_have_text("Rebuild")
    link = page.locator("#start-orders")
    link.focus()
    _updated(page)
    assert page.evaluate("document.activeElement.id") == "start-orders", "an update takes the focus from nobody"
    page.keyboard.press("Enter")
    playwright.expect(page.locator("h1")).to_have_text("Rebuild orders?")


def test_a_rebuild_is_started_watched_and_rolled_back(stack: Stack, page: Any) -> None:
    page.goto(f"{stack.dashboard}/rebuild")
    before = _live_generation(stack)
    page.click("#start-orders")
    page.click("text=Start the rebuild")
    playwright.expect(page.locator(".done")).to_have_text("The rebuild is under way.")
    live = page.locator("section[aria-labelledby=rebuild-orders] tbody tr").filter(has_text="live").locator("th")
    _eventually(lambda: live.all_inner_texts() not in ([], [str(before)]), timeout_s=120)
    assert live.all_inner_texts() == [str(_live_generation(stack))]
    page.click("#rollback-orders")
    page.click("text=Roll back")
    _eventually(lambda: _live_generation(stack) == before, timeout_s=120)


def test_a_dead_mail_is_read_and_redriven(stack: Stack, page: Any) -> None:
    order_id = stack.place(confirm=True)
    # What a mail server that refuses the address leaves behind; the mail itself can be sent.
    with psycopg.connect(stack.urls["postgres"], autocommit=True) as connection:
        kill = "UPDATE subscribers.outbox SET state = 'dead', reason = '550 <b>no</b>'"
        sent = " WHERE subscriber = 'email' AND state = 'done' AND order_id = %s"
        _eventually(lambda: connection.execute(kill + sent, [order_id]).rowcount > 0)
    page.goto(f"{stack.dashboard}/parked")
    playwright.expect(page.locator("section[aria-labelledby=parked-email]")).to_contain_text("550 <b>no</b>")
    page.locator("section[aria-labelledby=parked-email] tbody a").first.click()
    playwright.expect(page.locator(".trouble")).to_have_text("550 <b>no</b>")
    page.click("#redrive")
    page.click("button")
    playwright.expect(page.locator(".done")).to_have_text("It was applied.")
    playwright.expect(page.locator("section[aria-labelledby=parked-email]")).to_contain_text("Nothing is parked.")


def test_an_order_is_stepped_through(stack: Stack, page: Any) -> None:
    order_id = stack.place(confirm=True)
    page.goto(f"{stack.dashboard}/orders")
    page.fill("input[name=q]", order_id)
    page.keyboard.press("Enter")
    page.click(f"a:text-is('{order_id}')")
    page.click("svg.timeline a >> nth=0")
    playwright.expect(page.locator("#changed")).to_have_text("What OrderPlaced changed")
    page.click("a[rel=next]")
    playwright.expect(page.locator("ins").first).to_be_visible()
    playwright.expect(page.locator("svg.timeline a[aria-current=true]")).to_have_count(1)


def test_a_page_says_that_it_is_stale_and_goes_on_when_the_server_is_back(stack: Stack, page: Any) -> None:
    page.goto(stack.dashboard)
    _updated(page)
    server = stack.query_api()
    server.suspend()
    stale = page.locator("#stale")
    try:
        playwright.expect(stale).to_contain_text("Stale since")
    finally:
        server.resume()
    playwright.expect(stale).to_have_text("")
    os.kill(server.pid, signal.SIGKILL)
    _eventually(lambda: stack.query_api().pid != server.pid)
    _updated(page)
    playwright.expect(stale).to_have_text("")


def _updated(page: Any) -> None:
    """Return after the next message of the stream is on the page."""
    count = "Number(document.getElementById('live').dataset.messages || 0)"
    before = page.evaluate(count)  # wait_for_function would evaluate strings in the page, which its policy forbids
    _eventually(lambda: bool(page.evaluate(count) > before))


def _focused(page: Any) -> str:
    text: str = page.evaluate("document.activeElement.innerText.trim()")
    return text


def _live_generation(stack: Stack) -> int:
    answer = httpx.get(f"{stack.urls['query-api']}/positions").json()["projections"]
    (orders,) = (one for one in answer if one["name"] == "orders")
    return int(orders["generation"])


def _eventually(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    """As `eventually` of the kit, for tests without a loop: the browser has its own."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except (httpx.HTTPError, StopIteration):
            pass
        time.sleep(0.1)
    raise AssertionError("it did not come true in time")
