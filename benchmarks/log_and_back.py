"""Events per second of verifying the orders view, backing up the log and restoring it, against a bare read of it."""

import asyncio
import time

from benchmarks.live_view import view_rate
from benchmarks.orders import fill
from benchmarks.results import Figure
from eventlog.backup.restoring import restore
from eventlog.backup.saving import backup
from eventlog.reader import log_ends, read_partition
from eventlog.settings import Settings
from local_stack.infrastructure import Infrastructure
from local_stack.progress import Silent
from projections.verifying.verification import verify
from schemas.topics import ORDER_EVENTS

_ORDERS = 50_000


async def measure(settings: Settings) -> list[Figure]:
    """All go over a log of 150,000 events; the restore is into a Kafka of its own."""
    events = await fill(settings, _ORDERS)
    await asyncio.to_thread(view_rate, settings, "orders", events)
    rates = {
        "verify orders": await _verify_rate(settings, events),
        "log backup": await _backup_rate(settings, events),
        "log restore": await _restore_rate(settings, events),
    }
    peer = await _read_rate(settings)
    return [Figure(name, rate, "events/s", "bare read", peer) for name, rate in rates.items()]


async def _verify_rate(settings: Settings, events: int) -> float:
    began = time.perf_counter()
    assert all([report.agrees async for report in verify(settings, "orders", lambda _: None)])
    return events / (time.perf_counter() - began)


async def _backup_rate(settings: Settings, events: int) -> float:
    began = time.perf_counter()
    await backup(settings, settings.data_dir / "backup", lambda *_: None)
    return events / (time.perf_counter() - began)


async def _restore_rate(settings: Settings, events: int) -> float:
    parts = Infrastructure(settings.data_dir / "second", None, Silent())
    try:
        await asyncio.to_thread(parts.kafka.start)
        await asyncio.to_thread(parts.registry.start)
        ends = parts.endpoints
        places = {"kafka_bootstrap": ends.kafka_bootstrap, "registry_url": ends.registry_url}
        began = time.perf_counter()
        await restore(settings.model_copy(update=places), settings.data_dir / "backup", lambda *_: None)
        return events / (time.perf_counter() - began)
    finally:
        parts.registry.stop()
        parts.kafka.stop()


async def _read_rate(settings: Settings) -> float:
    topic, counted, began = settings.topic(ORDER_EVENTS.name), 0, time.perf_counter()
    for partition, end in (await log_ends(settings.kafka_bootstrap, topic)).items():
        async for records in read_partition(settings.kafka_bootstrap, topic, partition, 0, end):
            counted += len(records)
    return counted / (time.perf_counter() - began)
