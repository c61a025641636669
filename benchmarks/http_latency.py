"""One command over HTTP while nothing else is asked, against a bare produce and an empty FastAPI POST together."""

import asyncio

from benchmarks.append import BareProduce, timed
from benchmarks.load import connected, order_placed
from benchmarks.results import Figure, percentile
from benchmarks.servers import command_api, empty_api
from eventlog.settings import Settings
from schemas.publish import load_codec
from service.serving import spare_the_collector

_ROUNDS, _WARM_UP = 4_000, 400
_PEER = "bare produce + empty POST"


async def measure(settings: Settings) -> list[Figure]:
    """p50 and p99 in ms, one at a time, both servers up, the three taking turns so that all see the same machine.

    The peer's value of a round is that round's produce and that round's empty POST added up, so a percentile is one
    of sums: less than the sum of the two percentiles.
    """
    commands: list[float] = []
    peers: list[float] = []
    codec = await asyncio.to_thread(load_codec, settings.registry_url, settings.topic_prefix)
    bare = BareProduce(settings, codec)
    with command_api(settings) as ours, empty_api(settings) as nothing:
        async with connected(ours.url) as command, connected(nothing.url) as empty, bare.producer:
            rounds = [(order_placed(ours.url), order_placed(nothing.url)) for _ in range(_ROUNDS)]
            spare_the_collector()
            for order, ignored in rounds:
                commands.append(await timed(command.ask(order, expected=201)))
                peers.append(await timed(empty.ask(ignored, expected=201)) + await timed(bare.send()))
    ours_sorted, peers_sorted = sorted(commands[_WARM_UP:]), sorted(peers[_WARM_UP:])
    return [
        Figure(f"one command over HTTP, {name}", percentile(ours_sorted, p), "ms", _PEER, percentile(peers_sorted, p))
        for name, p in (("p50", 0.5), ("p99", 0.99))
    ]
