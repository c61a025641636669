"""Events per second into the sales tables, against quixstreams keeping one count per key in RocksDB."""

import asyncio
import subprocess
import sys
from pathlib import Path

from benchmarks.live_view import view_rate
from benchmarks.orders import fill
from benchmarks.results import Figure
from eventlog.settings import Settings
from schemas.errors import Explained
from schemas.topics import ORDER_EVENTS

_ORDERS = 100_000
_PEER = Path(__file__).with_name("quix_counts.py")
_PYTHON = Path(sys.prefix) / "quixstreams" / "bin" / "python"


async def measure(settings: Settings) -> list[Figure]:
    """Both read a log of 300,000 events from its beginning; the clock starts with the first batch.

    It ends when the last row is in the changelog and in RocksDB: for ours once Postgres has the position behind that,
    for theirs once the last checkpoint is committed. Ours keeps seven kinds of sums and every order, theirs one count
    for each order. Raises Explained when quixstreams is not installed; it has an environment of its own, because it
    asks for an older pydantic.
    """
    if not _PYTHON.exists():
        raise Explained("quixstreams is not installed; run: make bench BENCH=sales_tables")
    events = await fill(settings, _ORDERS)
    ours = await asyncio.to_thread(view_rate, settings, "sales", events)
    peer = await asyncio.to_thread(_peer_rate, settings, events)
    return [Figure("sales tables, one worker", ours, "events/s", "quixstreams, a count per key", peer)]


def _peer_rate(settings: Settings, events: int) -> float:
    topic = settings.topic(ORDER_EVENTS.name)
    command = [str(_PYTHON), str(_PEER), settings.kafka_bootstrap, topic, str(events)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return float(done.stdout.split()[-1])
