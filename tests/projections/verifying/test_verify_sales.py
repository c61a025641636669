"""`orderlog verify sales` on a real worker's tables: it agrees while they move, and finds and names what is planted."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from eventlog.settings import Settings
from schemas.events import OrderConfirmed, OrderEvent, PaymentRecorded
from tests.kit.worlds import Worker, eventually, prepare
from tests.projections.histories import history, placed
from tests.projections.log import LogWriter, log_writer
from tests.projections.running import cli_told, running
from tests.projections.sabotage import SabotagedWorker
from tests.projections.sales_world import sales_world
from tests.projections.verifying.kit import Verdict, verdict


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> Iterator[Worker]:
    process = Worker(settings, tmp_path / "worker.log", "sales")
    yield process
    process.kill()


async def test_it_agrees_with_tables_that_move(settings: Settings, worker: Worker) -> None:
    codec, ending = await prepare(settings), asyncio.Event()

    async def traffic(writer: LogWriter) -> None:
        random = Random(5)
        while not ending.is_set():
            await writer.append([event for _ in range(20) for event in history(random)])
            with suppress(TimeoutError):
                await asyncio.wait_for(ending.wait(), 0.1)

    async with log_writer(settings, codec) as writer, sales_world(settings, codec) as world:
        for partition in range(settings.partitions):
            await writer.elect(2, partition)
        moving = asyncio.create_task(traffic(writer))
        with running(worker):
            await eventually(lambda: world.ask("status"), worker)
            seen: set[int] = set()
            while len(seen) < 4:  # whatever the moment
                found = await verdict(settings, "sales")
                assert found.agrees, found.differences
                seen.add(sum(one["next_offset"] for one in found.partitions.values()))
            ending.set()
            await moving
            deposed = placed()
            await writer.append([deposed, OrderConfirmed(deposed.order_id, 998)], term=1)
            await world.caught_up(worker)
            found = await verdict(settings, "sales")
            assert found.agrees, found.differences


_ORDER = placed(customer_id="ada")
PLANTED: dict[str, dict[str, Any]] = {
    # In the row of an order.
    f"""
if key == order_key({_ORDER.order_id.int}):
    offset, order = read_order(value)
    value = order_value(offset, replace(order, paid=order.paid + 1))
""": {"of": f"order {_ORDER.order_id}", "table": "order", "field": "paid", "expected": 998, "found": 999},
    # In a sum.
    """
if key == sum_key(Key("customer", "ada", "EUR")):
    value = sum_value(*(lambda offset, sums: (offset, [sums[0], sums[1] - 1]))(*read_sum(value)))
""": {"of": "the sum of customer ada EUR", "field": "revenue", "expected": 998, "found": 997},
    # A row that is missing, and one too many.
    f"""
if key == order_key({_ORDER.order_id.int}):
    continue
""": {"of": f"order {_ORDER.order_id}", "found": None},
    """
if key == sum_key(Key("customer", "ada", "EUR")):
    more.append((order_key(7), order_value(0, Order(1, "open", "nobody", "EUR", ()))))
""": {"of": "order 00000000-0000-0000-0000-000000000007", "expected": None},
}
_ROWS = """
from msgspec.structs import replace
from projections import fenced_table
from projections.sales.fold import Key, Order
from projections.sales.rows import order_key, order_value, read_order, read_sum, sum_key, sum_value
rows = fenced_table.FencedTable.rows
def others(self, partition, first, end):
    for key, value in rows(self, partition, first, end):
        more = []
        {planted}
        yield key, value
        yield from more
fenced_table.FencedTable.rows = others
"""
_FOLD = """
from projections.sales import view
fold = view.fold
def one_more(order, event, version, at):
    after, changes = fold(order, event, version, at)
    if type(event).__name__ == "PaymentRecorded":
        changes = [(key, (*row[:-1], row[-1] + 1) if key.kind == "customer" else row) for key, row in changes]
    return after, changes
view.fold = one_more
"""


@pytest.mark.parametrize("planted", PLANTED, ids=["order", "sum", "missing", "extra"])
async def test_a_difference_in_a_row_is_found_and_named(settings: Settings, tmp_path: Path, planted: str) -> None:
    sabotage = _ROWS.format(planted=planted.strip().replace("\n", "\n        "))
    found = await verdict_of(settings, tmp_path, sabotage)
    assert not found.agrees
    assert len(found.differences) == 1
    assert PLANTED[planted].items() <= found.differences[0].items(), found.differences


async def test_a_difference_in_the_fold_is_found(settings: Settings, tmp_path: Path) -> None:
    found = await verdict_of(settings, tmp_path, _FOLD)
    assert found.differences
    assert all("the sum of customer" in one["of"] and one["field"] == "revenue" for one in found.differences)


async def test_without_a_worker_it_says_so(settings: Settings) -> None:
    await prepare(settings)
    code, _, err = await asyncio.to_thread(cli_told, settings, "verify", "sales")
    assert (code, err.count("\n")) == (1, 1)
    assert "run: orderlog project sales" in err


async def verdict_of(settings: Settings, tmp_path: Path, sabotage: str) -> Verdict:
    """What is said of a worker with something changed, once it has folded a log."""
    codec = await prepare(settings)
    worker = SabotagedWorker(settings, tmp_path / "worker.log", sabotage, "sales")
    life: list[OrderEvent] = [
        _ORDER,
        OrderConfirmed(_ORDER.order_id, 998),
        PaymentRecorded(_ORDER.order_id, 998, "pay-1"),
    ]
    async with log_writer(settings, codec) as writer:
        await writer.append(life)
        await writer.append([event for seed in range(30) for event in history(Random(seed))])
    async with sales_world(settings, codec) as world:
        with running(worker):
            await world.caught_up(worker)
            return await verdict(settings, "sales")
