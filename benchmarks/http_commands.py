"""Commands per second over HTTP, against an empty FastAPI POST under the same load."""

from collections.abc import Iterator

from benchmarks.load import order_placed, throughput
from benchmarks.results import Figure
from benchmarks.servers import command_api, empty_api
from eventlog.settings import Settings
from service.serving import spare_the_collector

_CONNECTIONS, _REQUESTS, _TURNS, _WARM_UP = 64, 5_000, 4, 2_000


async def measure(settings: Settings) -> list[Figure]:
    """Orders placed per second by 64 connections, one server process each, in turns of 5,000 requests."""
    with command_api(settings) as ours, empty_api(settings) as nothing:
        spare_the_collector()
        for server in (ours, nothing):
            await _rate(server.url, _WARM_UP)
        turns = [(await _rate(ours.url, _REQUESTS), await _rate(nothing.url, _REQUESTS)) for _ in range(_TURNS)]
    # Of rates over as many requests each, the harmonic mean is all requests over all the time.
    commands, peer = (_TURNS / sum(1 / rate for rate in rates) for rates in zip(*turns, strict=True))
    return [Figure(f"orders over HTTP, {_CONNECTIONS} connections", commands, "1/s", "empty FastAPI POST", peer)]


async def _rate(url: str, count: int) -> float:
    return await throughput(url, _orders(url, count), _CONNECTIONS, expected=201)


def _orders(url: str, count: int) -> Iterator[bytes]:
    """Requests made beforehand: making them takes longer than sending them."""
    return iter([order_placed(url) for _ in range(count)])
