"""How long a partition takes no commands when an instance joins, leaves, is killed or stands still.

One client per partition sends an order every few milliseconds to an instance that stays, and again under the same key
while it is refused. The longest time between two accepted ones is held against the longest when nothing happens.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from random import Random
from uuid import uuid4

import httpx

from benchmarks.results import Figure
from eventlog.partitioning import partition_of
from eventlog.settings import Settings
from local_stack.ports import free_port
from local_stack.process import Child
from local_stack.services import environment_of, orderlog
from local_stack.shop import order_body

_EVERY_S, _AGAIN_S = 0.01, 0.002
_QUIET_S, _AFTERWARDS_S = 5.0, 3.0
_GOODS = {"CUP-WHITE": 1}


async def measure(settings: Settings) -> list[Figure]:
    """Milliseconds without an accepted command, the longest of the 12 partitions, for each way to lose an instance."""
    apis = [_Instance(settings, number) for number in range(3)]
    staying, other, leaving = apis
    try:
        for api in (staying, other):
            api.start()
        await _shared(staying, other)
        async with httpx.AsyncClient(base_url=staying.url, timeout=60) as client, _clients(client, settings) as longest:
            quiet = await longest(_quiet)
            joined = await longest(lambda: _join(leaving, *apis))
            left = await longest(lambda: _leave(leaving, staying, other))
            await _join(leaving, *apis)
            killed = await longest(lambda: _kill(leaving, staying, other))
            await _join(leaving, *apis)
            stopped = await longest(lambda: _stand_still(leaving, staying, other))
    finally:
        for api in apis:
            api.kill()
    gaps = {"joins": joined, "leaves": left, "is killed with -9": killed, "stands still": stopped}
    return [
        Figure(f"no commands when an instance {what}", gap * 1000, "ms", "when nothing happens", quiet * 1000)
        for what, gap in gaps.items()
    ]


class _Instance(Child):
    def __init__(self, settings: Settings, number: int) -> None:
        port = free_port()
        ours = settings.model_copy(update={"command_api_port": port, "log_level": "error"})
        self.url = f"http://127.0.0.1:{port}"
        log = settings.data_dir / "logs" / f"benchmark-handover-{number}.log"
        super().__init__(
            f"command-api-{number}", orderlog("serve", "command-api"), log, environment=environment_of(ours)
        )


async def _shared(*apis: _Instance) -> None:
    """Return once `apis`, and no others, own partitions, and each of them knows it."""
    urls = {api.url for api in apis}
    async with httpx.AsyncClient(timeout=5) as client:
        while not all([await _owners(client, api) == urls for api in apis]):
            await asyncio.sleep(0.02)


async def _owners(client: httpx.AsyncClient, api: _Instance) -> set[str]:
    try:
        told = (await client.get(f"{api.url}/owners")).json()
    except httpx.TransportError:
        api.check()
        return set()
    return {one["owner"] for one in told["partitions"]}


async def _quiet() -> None:
    await asyncio.sleep(_QUIET_S)


async def _join(joining: _Instance, *all_of_them: _Instance) -> None:
    joining.start()
    await _shared(*all_of_them)


async def _leave(leaving: _Instance, *staying: _Instance) -> None:
    leaving.signal(signal.SIGTERM)
    await _shared(*staying)


async def _kill(killed: _Instance, *staying: _Instance) -> None:
    killed.kill()
    await _shared(*staying)


async def _stand_still(stopped: _Instance, *staying: _Instance) -> None:
    stopped.signal(signal.SIGSTOP)
    await _shared(*staying)


@asynccontextmanager
async def _clients(
    client: httpx.AsyncClient, settings: Settings
) -> AsyncIterator[Callable[[Callable[[], Awaitable[None]]], Awaitable[float]]]:
    """Clients of every partition; the value runs an action and returns the longest gap, in seconds, around it."""
    longest: dict[int, float] = {}

    async def customer(partition: int) -> None:
        last = time.perf_counter()
        while True:
            await _accepted(client, partition, settings.partitions)
            now = time.perf_counter()
            longest[partition], last = max(longest.get(partition, 0.0), now - last), now
            await asyncio.sleep(_EVERY_S)

    async def around(action: Callable[[], Awaitable[None]]) -> float:
        await asyncio.sleep(_AFTERWARDS_S)
        longest.clear()
        await action()
        await asyncio.sleep(_AFTERWARDS_S)
        return max(longest.values())

    customers = [asyncio.create_task(customer(partition)) for partition in range(settings.partitions)]
    try:
        yield around
    finally:
        for one in customers:
            one.cancel()
        await asyncio.gather(*customers, return_exceptions=True)


async def _accepted(client: httpx.AsyncClient, partition: int, partitions: int) -> None:
    """Place an order of `partition`, again and again under one key until it is accepted."""
    order_id = next(one for one in (uuid4() for _ in count()) if partition_of(one, partitions) == partition)
    body = order_body(Random(order_id.int), order_id, _GOODS)
    while True:
        answer = await client.post("/orders", json=body, headers={"Idempotency-Key": str(order_id)})
        if answer.is_success:
            return
        await asyncio.sleep(_AGAIN_S)
