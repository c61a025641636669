"""Placing and confirming an order: our writers, the same with Kafka transactions, and pyeventsourcing on Postgres."""

import asyncio
import importlib.util
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from benchmarks.append import timed
from benchmarks.orders import order, request, until_ready
from benchmarks.results import Figure, percentile
from benchmarks.transactions import TransactionalWriters
from command_side.bootstrap import running_router
from command_side.domain.commands import ConfirmOrder, PlaceOrder
from command_side.outcomes import Accepted, CommandRequest, Outcome
from eventlog.settings import Settings
from schemas.errors import Explained
from schemas.publish import load_codec
from service.serving import spare_the_collector

_ROUNDS, _WARM_UP = 1_000, 100
_ORDERS, _AT_ONCE = 20_000, 2_000
_OURS = "place and confirm, writers without HTTP"
_TRANSACTIONS = "writers with Kafka transactions"
_STORES = {"pyeventsourcing, Postgres": True, "pyeventsourcing, Postgres not waiting for the disk": False}


class _Writers(Protocol):
    async def submit(self, request: CommandRequest, /) -> Outcome: ...


async def measure(settings: Settings) -> list[Figure]:
    """Both commands of an order together: p50 in ms one at a time, taking turns; orders per second, in a row.

    Raises Explained when pyeventsourcing is not installed.
    """
    if importlib.util.find_spec("eventsourcing") is None:
        raise Explained("pyeventsourcing is not installed; run it with: make bench BENCH=side_by_side")
    codec = await asyncio.to_thread(load_codec, settings.registry_url, settings.topic_prefix)
    transactional = TransactionalWriters(settings, codec)
    async with running_router(settings, codec, "http://benchmark") as router, transactional.running():
        await until_ready(router)
        spare_the_collector()
        times = await _one_at_a_time(settings, {_OURS: router, _TRANSACTIONS: transactional})
        rates = {_OURS: await _rate(router), _TRANSACTIONS: await _rate(transactional)}
    rates |= await asyncio.to_thread(_store_rates, settings)
    return [*_figures(f"{_OURS}, p50", "ms", times), *_figures(_OURS, "orders/s", rates)]


def _figures(name: str, unit: str, values: Mapping[str, float]) -> Iterator[Figure]:
    for peer, value in values.items():
        if peer != _OURS:
            yield Figure(name, values[_OURS], unit, peer, value)


async def _one_at_a_time(settings: Settings, ours: Mapping[str, _Writers]) -> dict[str, float]:
    """p50 in ms of each way."""
    from benchmarks.event_store import orders

    stores = {name: orders(settings, 1, synchronous=synced) for name, synced in _STORES.items()}
    times: dict[str, list[float]] = {name: [] for name in (*ours, *stores)}
    try:
        for _ in range(_ROUNDS):
            for name, writers in ours.items():
                times[name].append(await timed(_place_and_confirm(writers, order())))
            for name, store in stores.items():
                times[name].append(_timed_here(store.place_and_confirm, order()))
    finally:
        for store in stores.values():
            store.close()
    return {name: percentile(sorted(taken[_WARM_UP:]), 0.5) for name, taken in times.items()}


def _timed_here(action: Callable[[PlaceOrder], None], command: PlaceOrder) -> float:
    """In ms, on the event loop's own thread: nothing else is to be done meanwhile, and a thread would cost time."""
    start = time.perf_counter()
    action(command)
    return (time.perf_counter() - start) * 1000


async def _rate(writers: _Writers) -> float:
    """Orders placed and confirmed per second with 2,000 under way at any time."""
    ahead = iter([order() for _ in range(_ORDERS)])

    async def live() -> None:
        for placed in ahead:
            await _place_and_confirm(writers, placed)

    start = time.perf_counter()
    await asyncio.gather(*(live() for _ in range(_AT_ONCE)))
    return _ORDERS / (time.perf_counter() - start)


async def _place_and_confirm(writers: _Writers, placed: PlaceOrder) -> None:
    for command in (placed, ConfirmOrder(placed.order_id)):
        outcome = await writers.submit(request(command))
        assert isinstance(outcome, Accepted), outcome


def _store_rates(settings: Settings) -> dict[str, float]:
    """Orders per second of pyeventsourcing, named with the threads (and connections) that made it fastest."""
    from benchmarks.event_store import fastest

    rates: dict[str, float] = {}
    for name, synced in _STORES.items():
        rate, threads = fastest(settings, synchronous=synced)
        rates[f"{name}, {threads} threads"] = rate
    return rates
