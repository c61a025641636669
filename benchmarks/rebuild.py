"""A rebuild of the orders view over 0.3, 1 and 3 million events: its rate, its memory, what else could read them."""

import asyncio
import importlib.util
import json
import time
from dataclasses import dataclass

from rich.console import Console

from benchmarks.live_view import agent_rate
from benchmarks.memory import watched
from benchmarks.orders import fill
from benchmarks.results import Figure
from eventlog.reader import log_ends, read_partition
from eventlog.settings import Settings
from local_stack.services import environment_of, orderlog
from schemas.errors import Explained
from schemas.topics import ORDER_EVENTS

_ORDERS = (100_000, 333_333, 1_000_000)  # three events each
_JOBS = 2
_CONSOLE = Console(stderr=True, highlight=False)
_BAR, _GOAL = 100_000.0, 1024.0


@dataclass(frozen=True, slots=True)
class Run:
    """One rebuild: records; seconds from the command to its end; records a second while they flowed; MiB at most."""

    events: int
    took_s: float
    rate: float
    swap_s: float
    peak_mib: float

    @property
    def whole_rate(self) -> float:
        """Events per second of the whole command: processes started, events, indexes, swap, processes stopped."""
        return self.events / self.took_s


async def measure(settings: Settings) -> list[Figure]:
    """The same log grows, and is rebuilt each time by two processes; then others read all of it."""
    runs: list[Run] = []
    for orders in _ORDERS:
        before = runs[-1].events // 3 if runs else 0
        _CONSOLE.print(f"… writing {3 * (orders - before):,} events")
        await fill(settings, orders - before)
        _CONSOLE.print(f"… rebuilding {3 * orders:,} events")
        runs.append(await _rebuilt(settings))
    first, _, last = runs
    read = await _bare_read(settings)
    agent = await asyncio.to_thread(agent_rate, settings, 3 * _ORDERS[0])
    if importlib.util.find_spec("eventsourcing") is None:
        raise Explained("pyeventsourcing is not installed; run it with: make bench BENCH=rebuild")
    from benchmarks.event_store_projection import rate as peer_rate

    peer = await asyncio.to_thread(peer_rate, settings)
    name = f"rebuild of {last.events:,} records, {_JOBS} jobs"
    return [
        Figure(name, last.rate, "events/s", "bar", _BAR),
        Figure(name, last.rate, "events/s", "bare read, one process", read),
        Figure(name, last.rate, "events/s", "empty Faust agent, one process", agent),
        Figure(name, last.rate, "events/s", "pyeventsourcing's projection, Postgres", peer),
        Figure(f"{name}, all of the command", last.whole_rate, "events/s", "without indexes and processes", last.rate),
        Figure(f"{name}, peak memory of all processes", last.peak_mib, "MiB", "bar", _GOAL),
        Figure(
            "rebuild, time per event", last.took_s / last.events * 1e6, "µs", f"of {first.events:,}", _per_event(first)
        ),
        Figure("rebuild, peak memory", last.peak_mib, "MiB", f"of {first.events:,}", first.peak_mib),
        *(
            Figure(f"rebuild of {run.events:,} records", run.rate, "events/s", "all of it", run.whole_rate)
            for run in runs
        ),
        Figure("swap of the rebuild", last.swap_s * 1000, "ms", "bar", 2_000.0),
    ]


def _per_event(run: Run) -> float:
    return run.took_s / run.events * 1e6


async def _rebuilt(settings: Settings) -> Run:
    command = [*orderlog("rebuild", "orders", "--jobs", str(_JOBS), "--json")]
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, env=environment_of(settings)
    )
    assert process.stdout
    async with watched(process.pid, tree=True) as watch:
        lines = [(time.perf_counter(), json.loads(line)) async for line in process.stdout]
        if await process.wait():
            raise Explained("the rebuild failed; see above")
    took_s = time.perf_counter() - began
    begun_at, begun = next((at, line["done"]) for at, line in lines if line.get("done"))
    level_at, level = next((at, line["done"]) for at, line in lines if line.get("phase") == "indexes")
    rate, done = (level - begun) / (level_at - begun_at), lines[-1][1]
    return Run(done["records"], took_s, rate, done["swap_workers_waited_s"], watch.peak)


async def _bare_read(settings: Settings) -> float:
    topic, counted = settings.topic(ORDER_EVENTS.name), 0
    ends = await log_ends(settings.kafka_bootstrap, topic)
    began = time.perf_counter()
    for partition, end in ends.items():
        async for records in read_partition(settings.kafka_bootstrap, topic, partition, 0, end):
            counted += len(records)
    return counted / (time.perf_counter() - began)
