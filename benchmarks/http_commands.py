"""Commands per second over HTTP, against an empty FastAPI POST under the same load."""

from collections.abc import Iterator

from benchmarks.load import order_placed, throughput
from benchmarks.results import Figure
from benchmarks.servers import command_api, empty_api
from eventlog.settings import Settings

_CONNECTIONS, _REQUESTS, _WARM_UP = 64, 20_000, 2_000


async def measure(settings: Settings) -> list[Figure]:
    """Orders placed per second by 64 connections, one server process each time."""
    with command_api(settings) as server:
        commands = await _rate(server.url)
    with empty_api(settings) as server:
        peer = await _rate(server.url)
    return [Figure(f"orders over HTTP, {_CONNECTIONS} connections", commands, "1/s", "empty FastAPI POST", peer)]


async def _rate(url: str) -> float:
    await throughput(url, _orders(url, _WARM_UP), _CONNECTIONS, expected=201)
    return await throughput(url, _orders(url, _REQUESTS), _CONNECTIONS, expected=201)


def _orders(url: str, count: int) -> Iterator[bytes]:
    """Requests made beforehand: making them takes longer than sending them."""
    return iter([order_placed(url) for _ in range(count)])
