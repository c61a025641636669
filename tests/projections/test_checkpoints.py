"""Rows and position on a real Postgres: redelivery, holes, deposed writers, two workers of one partition."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from random import Random

import psycopg
import pytest

import migrations
from eventlog.recorded import read_record
from eventlog.settings import Settings
from projections import checkpoints
from projections.checkpoints import Applied, apply_batch, apply_batches
from projections.failures import Hole, judge
from projections.generations import Generation, NeedsRebuild, live_generation
from projections.orders.view import OrdersView
from schemas.events import LineAdded, OrderConfirmed, WriterElected
from service.database import Connection, connect
from service.verdicts import Retry
from tests.kit.codec import local_codec
from tests.projections.histories import history, placed
from tests.projections.records import Record, record, records
from tests.projections.refold import next_offsets, view
from tests.projections.refold_tables import everything, everything_of

CODEC = local_codec()
VIEW = OrdersView()


@dataclass
class Partition:
    """Partition 0 of the view, applied to over one connection."""

    settings: Settings
    connection: Connection
    generation: Generation

    async def apply(self, batch: list[Record], connection: Connection | None = None) -> Applied:
        return await apply_batch(connection or self.connection, VIEW, self.generation, CODEC, 0, batch)

    async def apply_all(
        self, batches: dict[int, list[Record]], connection: Connection | None = None
    ) -> dict[int, Applied]:
        return await apply_batches(connection or self.connection, VIEW, self.generation, CODEC, batches)

    def matches(self, log: list[Record]) -> bool:
        """Whether the view is what the first of `log`, up to its position, come to."""
        reached = next_offsets(self.settings)[0]
        expected = everything(read_record(CODEC, 0, one) for one in log[:reached])
        return everything_of(self.settings) == expected


@pytest.fixture
async def partition(settings: Settings) -> AsyncIterator[Partition]:
    await asyncio.to_thread(migrations.upgrade, settings.postgres_url)
    async with await connect(settings.postgres_url) as connection:
        yield Partition(settings, connection, await live_generation(connection, VIEW))


def log_of(orders: int) -> list[Record]:
    random = Random(orders)
    return records(CODEC, [event for _ in range(orders) for event in history(random)])


async def test_what_comes_again_is_applied_once(partition: Partition) -> None:
    log = log_of(30)
    assert await partition.apply(log[:50]) == Applied(50, 50)
    assert await partition.apply(log[:50]) == Applied(50, 0)
    assert await partition.apply(log[20:80]) == Applied(80, 30)
    assert partition.matches(log)


async def test_a_hole_stops_and_leaves_everything_as_it_was(partition: Partition) -> None:
    log = log_of(30)
    await partition.apply(log[:20])
    with pytest.raises(Hole, match="partition 0: the view is at offset 20, the log went on at 21"):
        await partition.apply(log[21:40])
    with pytest.raises(Hole, match="the view is at offset 25, the log went on at 26"):
        await partition.apply(log[20:25] + log[26:40])
    assert next_offsets(partition.settings) == {0: 20}
    assert partition.matches(log)


async def test_events_of_a_deposed_writer_are_dropped_also_after_a_restart(partition: Partition) -> None:
    order = placed()
    confirmed = OrderConfirmed(order.order_id, 998)
    log = [
        record(CODEC, 0, WriterElected("a", 1, 1, 0, "http://a"), version=0, term=1),
        record(CODEC, 1, order, version=1, term=1),
        record(CODEC, 2, WriterElected("b", 2, 2, 0, "http://b"), version=0, term=2),
    ]
    assert await partition.apply(log) == Applied(3, 3)
    late = record(CODEC, 3, confirmed, version=2, term=1)
    assert await partition.apply([late]) == Applied(4, 1, deposed=1)
    assert view(partition.settings)[str(order.order_id)]["version"] == 1
    assert await partition.apply([record(CODEC, 4, confirmed, version=2, term=2)]) == Applied(5, 1)
    assert view(partition.settings)[str(order.order_id)]["status"] == "confirmed"


async def test_two_workers_of_one_partition_take_turns(partition: Partition) -> None:
    """Each reads from where the view is and is now and then behind; neither knows of the other."""
    log = log_of(150)

    async def work(random: Random) -> None:
        async with await connect(partition.settings.postgres_url) as connection:
            while (reached := next_offsets(partition.settings).get(0, 0)) < len(log):
                start = max(reached - random.randint(0, 30), 0)
                await partition.apply(log[start : reached + random.randint(1, 40)], connection)

    await asyncio.gather(work(Random(1)), work(Random(2)))
    assert partition.matches(log)


async def test_workers_whose_partitions_overlap_take_turns(partition: Partition) -> None:
    """As after a rebalance: each has batches of some of the partitions, in any order, and none ever deadlocks."""
    logs = {number: log_of(20 + number) for number in range(4)}
    await partition.apply_all({number: log[:1] for number, log in logs.items()})

    async def work(random: Random) -> None:
        async with await connect(partition.settings.postgres_url) as connection:
            while left := [n for n in logs if next_offsets(partition.settings).get(n, 0) < len(logs[n])]:
                reached = next_offsets(partition.settings)
                chosen = random.sample(left, random.randint(1, len(left)))
                starts = {n: max(reached.get(n, 0) - random.randint(0, 5), 0) for n in chosen}
                batches = {n: logs[n][start : start + random.randint(1, 20)] for n, start in starts.items()}
                await partition.apply_all(batches, connection)

    await asyncio.gather(*(work(Random(seed)) for seed in range(3)))
    log = [read_record(CODEC, n, one) for n, some in logs.items() for one in some]
    assert everything_of(partition.settings) == everything(log)


async def test_a_hole_in_one_partition_leaves_all_as_they_were(partition: Partition) -> None:
    log, other = log_of(5), log_of(6)
    await partition.apply_all({0: log[:3], 1: other[:3]})
    with pytest.raises(Hole, match="partition 1: the view is at offset 3, the log went on at 4"):
        await partition.apply_all({0: log[3:], 1: other[4:]})
    assert next_offsets(partition.settings) == {0: 3, 1: 3}


@pytest.mark.parametrize("few", [0, 300])
async def test_an_event_that_fails_is_parked_in_its_partition_and_the_others_go_on(
    partition: Partition, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "_FEW", few)
    log, other = log_of(5), log_of(6)
    order = placed()
    bad = records(CODEC, [order, LineAdded(order.order_id, "GOLD", 2, 2**62), OrderConfirmed(order.order_id, 998)])
    applied = await partition.apply_all({2: other, 1: bad, 0: log})
    assert applied == {0: Applied(len(log), len(log)), 1: Applied(3, 3, parked=2), 2: Applied(len(other), len(other))}
    kept = [(0, one) for one in log] + [(1, bad[0])] + [(2, one) for one in other]
    assert everything_of(partition.settings) == everything(read_record(CODEC, n, one) for n, one in kept)


async def test_a_stopped_worker_loses_its_lock_not_its_place(partition: Partition) -> None:
    log = log_of(10)
    await partition.apply(log[:5])
    stopped = await connect(partition.settings.postgres_url)
    await stopped.execute("SET idle_in_transaction_session_timeout = '200ms'")
    await stopped.execute("BEGIN")
    await stopped.execute("SELECT * FROM orderlog.checkpoints FOR UPDATE")
    assert await partition.apply(log) == Applied(len(log), len(log) - 5)
    with pytest.raises(psycopg.Error) as ended:
        await stopped.execute("COMMIT")
    assert isinstance(judge(ended.value), Retry)
    assert partition.matches(log)


async def test_the_workers_connection_bounds_idle_transactions(partition: Partition) -> None:
    found = await (await partition.connection.execute("SHOW idle_in_transaction_session_timeout")).fetchone()
    assert found == ("5s",)


async def test_one_generation_is_made_whoever_comes_first(settings: Settings) -> None:
    await asyncio.to_thread(migrations.upgrade, settings.postgres_url)
    connections = [await connect(settings.postgres_url) for _ in range(4)]
    made = await asyncio.gather(*(live_generation(connection, VIEW) for connection in connections))
    assert {(one.number, one.schema) for one in made} == {(1, "views_g1")}

    class Changed(OrdersView):
        version = 3

    with pytest.raises(NeedsRebuild, match="made by version 2 of its code, this is 3"):
        await live_generation(connections[0], Changed())
    for connection in connections:
        await connection.close()
