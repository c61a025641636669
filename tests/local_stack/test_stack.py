"""The whole system by its own commands: started, used, broken, stopped, with nothing left behind."""

import asyncio
import json
import signal
import subprocess
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx

from tests.kit.checkouts import START_S, Checkout
from tests.kit.requests import order
from tests.kit.worlds import eventually


async def test_up_use_kill_down_and_up_again(checkout: Callable[[str], Checkout]) -> None:
    """An order placed over REST is in the log and in the view, whatever is killed, and after the next start."""
    here = checkout("here")
    assert here.run("up").returncode == 0
    urls = here.urls()
    assert here.run("up").returncode == 0, "a second up finds the first"
    assert here.urls() == urls
    path = _place(urls)
    shown = _read(urls, path, wait_for=_position(urls, path, "confirm"))
    assert (shown["status"], shown["total"]) == ("confirmed", 500)
    assert "OrderConfirmed" in here.run("log", "tail", "--from-start", "--no-follow").stdout

    for process in here.processes():
        if any(word in process.cmdline() for word in ("serve", "project", "subscribe")):
            process.kill()
    await eventually(lambda: here.run("status").returncode == 0, timeout_s=90)
    paid = _position(urls, path, "payments", {"amount": 500, "reference": "pay-1"})
    assert _read(urls, path, wait_for=paid)["status"] == "paid"

    assert here.run("down").returncode == 0
    assert here.processes() == []
    assert here.run("status").returncode == 1
    assert here.run("up").returncode == 0
    assert _read(here.urls(), path, wait_for=paid)["status"] == "paid"


async def test_the_demo_runs_until_it_is_killed_and_again_until_ctrl_c(checkout: Callable[[str], Checkout]) -> None:
    here = checkout("demo")
    demo = here.spawn("demo")
    await eventually(lambda: "commands accepted" in here.output() or demo.poll() is not None, timeout_s=START_S)
    # kill -9 leaves no orphans either, and what it leaves behind does not stop the next start.
    demo.kill()
    demo.wait()
    await eventually(lambda: not here.processes(), timeout_s=30)
    demo = here.spawn("demo", "--orders-per-second", "20")
    await eventually(
        lambda: here.output().count("commands accepted") >= 2 or demo.poll() is not None, timeout_s=START_S
    )
    assert demo.poll() is None, here.output()
    for line in [line for line in here.output().splitlines() if line.startswith("curl")]:
        answer = await asyncio.to_thread(subprocess.check_output, ["sh", "-c", line], text=True, timeout=30)
        assert {"position", "orders", "type"} & set(json.loads(answer))
    query_url = here.urls()["query-api"]
    # One of before the kill, one of this run, one by the curl that it shows.
    await eventually(lambda: len(_listed(query_url, "you")) == 3)
    demo.send_signal(signal.SIGINT)
    assert demo.wait(60) == 0, here.output()
    assert "Traceback" not in here.output()
    assert here.processes() == []


def _listed(query_url: str, customer_id: str) -> list[Any]:
    orders: list[Any] = httpx.get(f"{query_url}/orders", params={"customer_id": customer_id}).json()["orders"]
    return orders


def test_two_checkouts_run_at_once_and_a_taken_port_is_named(checkout: Callable[[str], Checkout]) -> None:
    one, two = checkout("one"), checkout("two")
    assert one.run("up").returncode == 0
    taken = one.urls()["command-api"].rpartition(":")[2]
    refused = two.run("up", ORDERLOG_COMMAND_API_PORT=taken)
    assert refused.returncode == 1
    assert f"port {taken} for command-api is in use; set ORDERLOG_COMMAND_API_PORT" in refused.stderr.splitlines()[-1]
    assert two.processes() == []
    assert two.run("up").returncode == 0
    assert set(one.urls().values()).isdisjoint(two.urls().values())


def _place(urls: dict[str, str]) -> str:
    headers = {"Idempotency-Key": str(uuid4())}
    placed = httpx.post(f"{urls['command-api']}/orders", json=order(), headers=headers)
    assert placed.status_code == 201
    return f"/orders/{placed.json()['order_id']}"


def _position(urls: dict[str, str], path: str, verb: str, body: dict[str, Any] | None = None) -> str:
    answer = httpx.post(f"{urls['command-api']}{path}/{verb}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.headers["orderlog-position"]


def _read(urls: dict[str, str], path: str, wait_for: str) -> dict[str, Any]:
    answer = httpx.get(f"{urls['query-api']}{path}", headers={"Orderlog-Min-Position": wait_for}, timeout=30)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown
