"""Four times the commands over HTTP that the command API can take, against the most that it can."""

import asyncio
import json
import resource
import sys
import time
from pathlib import Path
from uuid import uuid4

from benchmarks.flood import Tally
from benchmarks.load import http_request, order_placed, throughput
from benchmarks.memory import Watch, watched
from benchmarks.results import Figure
from benchmarks.servers import command_api
from eventlog.settings import Settings
from schemas.errors import Explained

_ORDERS = 1_000
_CLOSED_LOOPS = (32, 64, 128, 256)
_TIMES = 4
_SEARCH_S, _OVERLOAD_S = 6.0, 16.0
_SPARE_CLIENTS, _SPARE_FILES = 2_000, 500
_ADDRESS = {"name": "Ada Lovelace", "street": "12 Dorset Street", "city": "London", "postal_code": "SW1Y 4JH"}


async def measure(settings: Settings) -> list[Figure]:
    """What is accepted and refused per second, and the memory of the API's process before and during the overload.

    The commands change the addresses of 1,000 open orders and carry no key, so nothing has to be remembered of them:
    memory that grows is memory of the overload. Four times the best rate is due from more clients than may have a
    command under way, so the API has to refuse; what is due while all of them wait is sent when one is answered,
    so less may get out than is offered. The clients compete with API and broker for the machine's cores: they are a
    process of their own that yields to the others (benchmarks/flood.py), the same for the best and for the overload.
    """
    clients = settings.max_commands_in_flight + _SPARE_CLIENTS
    _allow_files(clients + _SPARE_FILES)
    file = settings.data_dir / f"requests-{uuid4().hex[:8]}.json"
    with command_api(settings) as server:
        await _prepare(server.url, file)
        rates = {n: (await _flood(server.url, file, n, float("inf"), _SEARCH_S))[0] for n in _CLOSED_LOOPS}
        connections = max(rates, key=lambda n: _per_second(rates[n].accepted, rates[n]))
        best = _per_second(rates[connections].accepted, rates[connections])
        assert server.process.pid
        async with watched(server.process.pid) as watch:
            before = time.perf_counter()
            tally, began = await _flood(server.url, file, clients, _TIMES * best, _OVERLOAD_S)
        return _figures(tally, best, connections, _memory(watch, before, began))


def _memory(watch: Watch, before: float, began: float) -> tuple[float, float, float]:
    """MiB before the clients came, once a quarter of the overload was over, and at its end."""
    return watch.at(before), watch.at(began + _OVERLOAD_S / 4), watch.at(began + _OVERLOAD_S)


def _figures(tally: Tally, best: float, connections: int, memory: tuple[float, float, float]) -> list[Figure]:
    before, early, late = memory
    accepted, refused = _per_second(tally.accepted, tally), _per_second(tally.refused, tally)
    answered, peer = accepted + refused, f"best, {connections} connections"
    assert answered, "nothing was answered"
    assert tally.unanswered == 0, f"{tally.unanswered} requests were never answered"
    return [
        Figure(f"accepted in overload, {_TIMES} times offered", accepted, "1/s", peer, best),
        Figure("sent in overload", _per_second(tally.sent, tally), "1/s", peer, best),
        Figure("refused with Retry-After", refused, "1/s", "all answers in overload", answered),
        Figure("outcome unknown", _per_second(tally.unknown, tally), "1/s", "all answers in overload", answered),
        Figure("memory at the overload's end", late, "MiB", "a quarter into it", early),
        Figure("memory at the overload's end", late, "MiB", "before it", before),
    ]


def _per_second(count: int, tally: Tally) -> float:
    return count / tally.seconds


async def _prepare(url: str, file: Path) -> None:
    """Place the orders, and write down the requests that change their addresses."""
    ids = [uuid4() for _ in range(_ORDERS)]
    await throughput(url, iter([order_placed(url, order_id) for order_id in ids]), 64, expected=201)
    body = json.dumps({**_ADDRESS, "country": "GB"}).encode()
    requests = [http_request("PUT", f"{url}/orders/{order_id}/shipping-address", body) for order_id in ids]
    await asyncio.to_thread(file.write_text, json.dumps([request.decode("latin-1") for request in requests]))


async def _flood(url: str, file: Path, clients: int, rate: float, seconds: float) -> tuple[Tally, float]:
    """Run the clients; what came of it, and when (perf_counter) they began to send. Raises Explained."""
    arguments = (url, str(file), str(clients), str(rate), str(seconds))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.flood", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    await process.stdout.readline()
    began = time.perf_counter()
    last = await process.stdout.read()
    if await process.wait():
        raise Explained("the clients failed; see above")
    return Tally(**json.loads(last)), began


def _allow_files(count: int) -> None:
    """Let this process and its children open `count` files. Raises Explained when the system does not allow it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise Explained(f"the overload needs {count} open files, the limit is {hard}; raise it: ulimit -Hn {count}")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
