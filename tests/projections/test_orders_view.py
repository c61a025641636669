"""Every table of the orders view against an independent fold, however the log's batches are cut and repeated."""

import asyncio
from random import Random

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import migrations
from eventlog.recorded import RecordedEvent, read_record
from eventlog.settings import Settings
from projections import checkpoints
from projections.checkpoints import apply_batch, apply_batches
from projections.generations import live_generation
from projections.orders.view import OrdersView
from schemas.events import Contact, LogEvent, OrderPlaced, ShippingAddressChanged
from service.database import connect
from tests.kit.codec import local_codec
from tests.projections.histories import history, placed
from tests.projections.records import records
from tests.projections.refold_tables import everything, everything_of

CODEC = local_codec()
VIEW = OrdersView()


def interleaved(random: Random, orders: int) -> list[LogEvent]:
    """Whole lives of `orders` orders, mixed, each in its own order."""
    lives = [list(history(random)) for _ in range(orders)]
    mixed: list[LogEvent] = []
    while lives:
        life = random.choice(lives)
        mixed.append(life.pop(0))
        lives = [life for life in lives if life]
    return mixed


async def feed(settings: Settings, partition: int, events: list[LogEvent], random: Random) -> list[RecordedEvent]:
    """Apply `events` in batches of any size, some of which begin with records that were applied before."""
    log, reached = records(CODEC, events), 0
    async with await connect(settings.postgres_url) as connection:
        generation = await live_generation(connection, VIEW)
        while reached < len(log):
            start, end = max(reached - random.choice([0, 0, 3, 20]), 0), reached + random.choice([1, 2, 10, 60])
            applied = await apply_batch(connection, VIEW, generation, CODEC, partition, log[start:end])
            reached = applied.next_offset
    return [read_record(CODEC, partition, one) for one in log]


async def test_every_table_agrees_however_the_log_is_cut(settings: Settings) -> None:
    await asyncio.to_thread(migrations.upgrade, settings.postgres_url)
    log: list[RecordedEvent] = []

    @hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**32), st.integers(1, 12))
    def each(seed: int, orders: int) -> None:
        # Each example is a partition of its own, so customers have orders in many.
        partition = len({one.position.partition for one in log})
        random = Random(f"{seed} {partition}")
        log.extend(asyncio.run(feed(settings, partition, interleaved(random, orders), random)))
        assert everything_of(settings) == everything(log)

    await asyncio.to_thread(each)


async def test_partitions_of_one_customer_are_applied_at_once(settings: Settings) -> None:
    """All orders are of twenty customers; no two transactions may touch one row, or they would wait or deadlock."""
    await asyncio.to_thread(migrations.upgrade, settings.postgres_url)
    async with await connect(settings.postgres_url) as connection:
        await live_generation(connection, VIEW)
    fed = [feed(settings, p, interleaved(Random(p), 60), Random(p)) for p in range(4)]
    logs = await asyncio.gather(*fed)
    assert everything_of(settings) == everything(one for log in logs for one in log)


@pytest.mark.parametrize("in_a_pipeline", [True, False])
async def test_partitions_are_applied_together(
    settings: Settings, in_a_pipeline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of any size of some of the partitions in each transaction, now and then with records that come again."""
    monkeypatch.setattr(checkpoints, "_FEW", 1_000_000 if in_a_pipeline else 0)
    await asyncio.to_thread(migrations.upgrade, settings.postgres_url)
    random = Random(11)
    logs = {p: records(CODEC, interleaved(random, 40)) for p in (2, 0, 3, 1)}
    reached = dict.fromkeys(logs, 0)
    async with await connect(settings.postgres_url) as connection:
        generation = await live_generation(connection, VIEW)
        while left := [p for p in logs if reached[p] < len(logs[p])]:
            chosen = {p: (max(reached[p] - random.choice([0, 3]), 0), random.choice([1, 5, 40])) for p in left}
            batches = {p: logs[p][start : start + size] for p, (start, size) in chosen.items() if random.random() < 0.7}
            applied = await apply_batches(connection, VIEW, generation, CODEC, batches)
            assert applied.keys() == batches.keys()
            reached |= {p: one.next_offset for p, one in applied.items()}
    assert everything_of(settings) == everything(read_record(CODEC, p, one) for p, log in logs.items() for one in log)


async def test_an_erased_address_is_not_found_any_more(settings: Settings) -> None:
    await asyncio.to_thread(migrations.upgrade, settings.postgres_url)
    kept, erased, never = placed(), placed(), placed()
    never = OrderPlaced(never.order_id, never.customer_id, never.currency, never.lines, None)
    assert isinstance(kept.personal_data, Contact)
    events: list[LogEvent] = [kept, erased, never, ShippingAddressChanged(erased.order_id, None)]
    log = await feed(settings, 0, events, Random(1))
    assert everything_of(settings) == everything(log)
    with psycopg.connect(settings.postgres_url) as connection:
        found = connection.execute("SELECT order_id FROM views.order_texts WHERE words @@ 'ada:*'").fetchall()
    assert found == [(kept.order_id,)]
