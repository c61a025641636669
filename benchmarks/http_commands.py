"""Commands per second over HTTP, against an empty FastAPI POST under the same load."""

import json
import sys
from collections.abc import Iterator
from random import Random
from uuid import uuid4

from benchmarks.load import post, throughput
from benchmarks.results import Figure
from benchmarks.serving import serving
from eventlog.settings import Settings
from local_stack.ports import free_port
from local_stack.services import orderlog
from local_stack.shop import order_body

_CONNECTIONS, _REQUESTS, _WARM_UP = 64, 20_000, 2_000
_GOODS = {"TEA-EARL-GREY-100": 2, "CUP-WHITE": 4}


async def measure(settings: Settings) -> list[Figure]:
    """Orders placed per second by 64 connections, one server process each time."""
    port = free_port()
    ours = settings.model_copy(update={"command_api_port": port, "log_level": "error"})
    with serving(orderlog("serve", "command-api"), f"http://127.0.0.1:{port}/readyz", ours):
        commands = await _rate(f"http://127.0.0.1:{port}/orders")
    port = free_port()
    empty = [sys.executable, "-m", "uvicorn", "benchmarks.empty_app:app", "--port", str(port), "--no-access-log"]
    with serving(empty, f"http://127.0.0.1:{port}/ready", settings):
        peer = await _rate(f"http://127.0.0.1:{port}/orders")
    return [Figure(f"orders over HTTP, {_CONNECTIONS} connections", commands, "1/s", "empty FastAPI POST", peer)]


async def _rate(url: str) -> float:
    await throughput(url, _orders(url, _WARM_UP), _CONNECTIONS, expected=201)
    return await throughput(url, _orders(url, _REQUESTS), _CONNECTIONS, expected=201)


def _orders(url: str, count: int) -> Iterator[bytes]:
    """Requests made beforehand: making them takes longer than sending them."""
    return iter([_request(url) for _ in range(count)])


def _request(url: str) -> bytes:
    key = uuid4()
    body = json.dumps(order_body(Random(key.int), key, _GOODS)).encode()
    return post(url, body, f"Idempotency-Key: {key}\r\n")
