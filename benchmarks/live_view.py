"""Events per second into the orders view, against a stock Faust agent that reads the same log and does nothing."""

import asyncio
import subprocess
import sys
import time

import psycopg

from benchmarks.orders import fill
from benchmarks.results import Figure
from eventlog.settings import Settings
from local_stack.ports import free_port
from local_stack.process import Child
from local_stack.services import environment_of, orderlog
from schemas.topics import ORDER_EVENTS

_ORDERS = 50_000
_EVERY_S = 0.02
_POSITIONS = "SELECT coalesce(sum(next_offset), 0) FROM orderlog.checkpoints WHERE projection = %s"


async def measure(settings: Settings) -> list[Figure]:
    """Both read a log of 150,000 events from its beginning; the clock starts with the first batch."""
    events = await fill(settings, _ORDERS)
    ours = await asyncio.to_thread(view_rate, settings, "orders", events)
    peer = await asyncio.to_thread(agent_rate, settings, events)
    return [Figure("live view, one worker", ours, "events/s", "empty Faust agent", peer)]


def view_rate(settings: Settings, projection: str, events: int) -> float:
    """Events per second of one worker of `projection` over `events` that are in the log, from its first batch on."""
    ports = {"worker_port": free_port(), "sales_worker_port": free_port()}
    worker_settings = settings.model_copy(update={**ports, "log_level": "error"})
    log = settings.data_dir / "logs" / "benchmark-worker.log"
    worker = Child("worker", orderlog("project", projection), log, environment=environment_of(worker_settings))
    worker.start()
    try:
        with psycopg.connect(settings.postgres_url, autocommit=True) as connection:
            first, began = _reached(connection, projection, worker, 1)
            last, ended = _reached(connection, projection, worker, events)
            return (last - first) / (ended - began)
    finally:
        worker.stop()


def _reached(connection: psycopg.Connection, projection: str, worker: Child, wanted: int) -> tuple[int, float]:
    """The number of records in the view once it is `wanted` or more, and when that was seen."""
    while True:
        row = connection.execute(_POSITIONS, [projection]).fetchone()
        now = time.perf_counter()
        if row and row[0] >= wanted:
            return int(row[0]), now
        worker.check()
        time.sleep(_EVERY_S)


def agent_rate(settings: Settings, events: int) -> float:
    """Events per second of a stock Faust agent that does nothing, over the first `events` of the log."""
    topic = settings.topic(ORDER_EVENTS.name)
    command = [sys.executable, "-m", "benchmarks.empty_agent", settings.kafka_bootstrap, topic, str(events)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return float(done.stdout.split()[-1])
