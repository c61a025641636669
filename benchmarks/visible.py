"""How long after its acknowledgement a command can be seen in the view, at 500 commands a second."""

import asyncio
import json
import time
from itertools import count
from random import Random
from uuid import uuid4

import httpx

from benchmarks.results import Figure, percentile
from benchmarks.servers import command_api, query_api
from eventlog.settings import Settings
from local_stack.ports import free_port
from local_stack.process import Child
from local_stack.services import environment_of, orderlog
from local_stack.shop import order_body

_PER_SECOND, _SECONDS, _WARM_UP_S = 500, 20, 5
_LOOKED_AT = 10  # every tenth order is asked for: the questions shall not be the load
_LIMITS_MS = {"p50": 50.0, "p99": 250.0}


async def measure(settings: Settings) -> list[Figure]:
    """From the command's answer to the query's, which waits for the command's position; against what was promised."""
    own = settings.model_copy(update={"worker_port": free_port(), "log_level": "error"})
    log = settings.data_dir / "logs" / "benchmark-worker.log"
    worker = Child("worker", orderlog("project", "orders"), log, environment=environment_of(own))
    worker.start()
    try:
        with command_api(settings) as commands, query_api(settings) as queries:
            took = sorted(await _taken(commands.url, queries.url))
    finally:
        worker.stop()
    return [
        Figure(
            f"acknowledged to visible, {_PER_SECOND} commands/s, {name}", percentile(took, share), "ms", "limit", limit
        )
        for (name, limit), share in zip(_LIMITS_MS.items(), (0.5, 0.99), strict=True)
    ]


async def _taken(command_url: str, query_url: str) -> list[float]:
    """Milliseconds, of the orders looked at after the warm-up."""
    took: list[float] = []
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(limits=limits, timeout=30) as client, asyncio.TaskGroup() as group:
        start = time.perf_counter()

        async def live(number: int) -> None:
            order_id = uuid4()
            body = json.dumps(order_body(Random(number), order_id, {"CUP-WHITE": 1})).encode()
            headers = {"Content-Type": "application/json"}
            told = (await client.post(f"{command_url}/orders", content=body, headers=headers)).raise_for_status()
            acknowledged = time.perf_counter()
            if number % _LOOKED_AT == 0:
                position = {"Orderlog-Min-Position": told.headers["orderlog-position"]}
                (await client.get(f"{query_url}/orders/{order_id}", headers=position)).raise_for_status()
                if acknowledged - start > _WARM_UP_S:
                    took.append((time.perf_counter() - acknowledged) * 1_000)

        for number in count():
            due = start + number / _PER_SECOND
            if number >= _PER_SECOND * (_SECONDS + _WARM_UP_S):
                break
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            group.create_task(live(number))
    return took
