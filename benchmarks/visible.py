"""How long after its acknowledgement a command can be seen in the view, at 500 commands a second.

On the same cores are all that a command passes (the APIs, the broker, the worker, Postgres) and this process, which
sends as little as it can: prepared bytes over connections that stay open (benchmarks/load.py).
"""

import asyncio
import re
import time
from contextlib import AsyncExitStack
from uuid import uuid4

from benchmarks.load import Connections, get, order_placed
from benchmarks.results import Figure, percentile
from benchmarks.servers import command_api, query_api
from eventlog.settings import Settings
from local_stack.ports import free_port
from local_stack.process import Child
from local_stack.services import environment_of, orderlog

_PER_SECOND, _SECONDS, _WARM_UP_S = 500, 20, 5
_LOOKED_AT = 10  # every tenth order is asked for: the questions shall not be the load
_POSITION = re.compile(rb"orderlog-position: *(\S+)", re.IGNORECASE)
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
    async with AsyncExitStack() as opened, asyncio.TaskGroup() as group:
        commands, queries = Connections(command_url, opened), Connections(query_url, opened)
        start = time.perf_counter()

        async def live(number: int) -> None:
            order_id = uuid4()
            async with commands.one() as connection:
                told = await connection.ask(order_placed(command_url, order_id), 201)
            acknowledged = time.perf_counter()
            if number % _LOOKED_AT:
                return
            (position,) = _POSITION.findall(told)
            question = get(f"{query_url}/orders/{order_id}", f"Orderlog-Min-Position: {position.decode()}\r\n")
            async with queries.one() as connection:
                await connection.ask(question, 200)
            if acknowledged - start > _WARM_UP_S:
                took.append((time.perf_counter() - acknowledged) * 1_000)

        for number in range(_PER_SECOND * (_SECONDS + _WARM_UP_S)):
            await asyncio.sleep(max(start + number / _PER_SECOND - time.perf_counter(), 0))
            group.create_task(live(number))
    return took
