"""Orders per second of `orderlog import`, end to end, against bare appends of as many records."""

import asyncio
import json
import subprocess
from pathlib import Path
from random import Random
from urllib.parse import urlsplit
from uuid import UUID

from benchmarks.orders import order, request
from benchmarks.results import Figure
from benchmarks.servers import command_api
from benchmarks.writer import bare_rate
from eventlog.settings import Settings
from local_stack.services import environment_of, orderlog
from local_stack.shop import order_body
from schemas.publish import load_codec

_ORDERS, _WARM_UP = 100_000, 5_000
_GOODS = {"TEA-EARL-GREY-100": 2, "CUP-WHITE": 4}


async def measure(settings: Settings) -> list[Figure]:
    """From the start of the sending to the last acknowledgement: client, API, broker and their parsing."""
    with command_api(settings) as server:
        ours = settings.model_copy(update={"command_api_port": urlsplit(server.url).port})
        await asyncio.to_thread(_imported, ours, _file(settings.data_dir / "warm-up.ndjson", _WARM_UP, 1))
        rate = await asyncio.to_thread(_imported, ours, _file(settings.data_dir / "orders.ndjson", _ORDERS, 2))
    codec = await asyncio.to_thread(load_codec, settings.registry_url, settings.topic_prefix)
    bare = await bare_rate(settings, codec, [request(order()) for _ in range(_ORDERS)])
    return [Figure("orderlog import, end to end", rate, "orders/s", "bare appends", bare)]


def _file(path: Path, count: int, seed: int) -> Path:
    random = Random(seed)
    with path.open("w") as file:
        for _ in range(count):
            body = order_body(random, UUID(int=random.getrandbits(128), version=4), _GOODS)
            file.write(json.dumps(body) + "\n")
    return path


def _imported(settings: Settings, file: Path) -> float:
    """The rate of an import in a process of its own, as it says itself; starting Python is not in it."""
    command = orderlog("import", str(file), "--json")
    environment = environment_of(settings)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=600)
    return float(json.loads(done.stdout)["orders_per_second"])
