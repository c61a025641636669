"""Replay of a partition of 1,000,000 events whose state is gone, against a bare read of the same partition."""

import asyncio
import sys

from rich.console import Console
from rich.progress import track

from benchmarks.memory import watched
from benchmarks.orders import candidate, empty_state, order, request
from benchmarks.results import Figure
from command_side.domain.commands import ConfirmOrder, RecordPayment
from command_side.election import take_over
from command_side.group_commit import Batch
from command_side.partition_state import PartitionState
from eventlog.fencing import Draft, LogClient
from eventlog.settings import Settings
from local_stack.preparing import prepare
from local_stack.services import environment_of
from schemas.codec import Codec
from schemas.errors import Explained
from schemas.publish import load_codec
from schemas.topics import ORDER_EVENTS

_EVENTS, _BATCH = 1_000_000, 500
_CONSOLE = Console(stderr=True, highlight=False)
_WAYS = ("read", "fold", "fold", "read")


async def measure(settings: Settings) -> list[Figure]:
    """Events per second and the peak memory of a process that does nothing else; each way twice, the better counts."""
    alone = settings.model_copy(update={"partitions": 1, "topic_prefix": f"{settings.topic_prefix}recovery."})
    await prepare(alone)
    await _fill(alone)
    runs: list[tuple[str, float, float]] = []
    for number, way in enumerate(_WAYS, 1):
        _CONSOLE.print(f"… {way} all of it, {number} of {len(_WAYS)}")
        runs.append((way, *await _run(way, alone)))
    rate = {way: max(rate for other, rate, _ in runs if other == way) for way in _WAYS}
    peak = {way: max(peak for other, _, peak in runs if other == way) for way in _WAYS}
    name = f"replay of {_EVENTS:,} events"
    return [
        Figure(name, rate["fold"], "events/s", "bare read", rate["read"]),
        Figure(f"{name}, peak memory", peak["fold"], "MiB", "bare read", peak["read"]),
    ]


async def _run(way: str, settings: Settings) -> tuple[float, float]:
    """Events per second and peak memory in MiB of one process (benchmarks/replay.py). Raises Explained."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.replay",
        way,
        stdout=asyncio.subprocess.PIPE,
        env=environment_of(settings),
    )
    assert process.stdout
    async with watched(process.pid) as watch:
        said = await process.stdout.read()
        if await process.wait():
            raise Explained(f"the replay ({way}) failed; see above")
    return float(said), watch.peak


async def _fill(settings: Settings) -> None:
    """Write the partition the way its writer does, elected and behind a barrier, but with batches of 500 events."""
    codec = await asyncio.to_thread(load_codec, settings.registry_url, settings.topic_prefix)
    topic = settings.topic(ORDER_EVENTS.name)
    async with LogClient(settings.kafka_bootstrap, topic, settings.produce_deadline_s) as client:
        mandate = await take_over(candidate(settings, client, codec), 0, empty_state(settings))
        nothing = empty_state(settings)
        batches = range(_EVENTS // _BATCH)
        for _ in track(batches, f"writing {_EVENTS:,} events", console=_CONSOLE):
            await mandate.append(client, 0, _lives(nothing, codec, mandate.term)[:_BATCH])


def _lives(state: PartitionState, codec: Codec, term: int) -> list[Draft]:
    """The records of orders that are placed, confirmed and paid, a batch or one or two more.

    Decided on an empty state each time: the orders are new, so nothing that is in the log matters to them.
    """
    batch = Batch(0, state, codec, term)
    while len(batch.drafts) < _BATCH:
        placed = order()
        total = sum(line.quantity * line.unit_price for line in placed.lines)
        for command in (placed, ConfirmOrder(placed.order_id), RecordPayment(placed.order_id, total, "benchmark")):
            batch.decide(request(command))
    return batch.drafts
