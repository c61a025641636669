"""What is parked is announced on order.events.dlq, at least once, whoever parked it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiokafka import AIOKafkaConsumer, TopicPartition

from eventlog.reader import log_ends
from projections.parking_notices import Notices
from tests.kit.worlds import eventually, prepare
from tests.projections.histories import placed
from tests.projections.parking_world import World, keyed, nonsense


@asynccontextmanager
async def announcing(world: World, bootstrap: str) -> AsyncIterator[Notices]:
    topic = world.settings.topic("order.events.dlq")
    notices = Notices(world.settings.postgres_url, bootstrap, topic, "orders")
    task = asyncio.create_task(notices.run())
    try:
        yield notices
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def unannounced(world: World) -> int:
    return sum(event.announced_at is None for event in await world.parked())


async def test_what_a_dead_worker_left_is_announced_by_the_next_also_after_kafka_was_away(world: World) -> None:
    await prepare(world.settings)
    here, nowhere = world.settings.kafka_bootstrap, "127.0.0.1:9"
    log = keyed(world.log([placed() for _ in range(3)]))
    await world.apply([nonsense(one) for one in log])
    async with announcing(world, nowhere):
        assert await unannounced(world) == 3
    topic = world.settings.topic("order.events.dlq")

    async def announced() -> bool:
        return await unannounced(world) == 0

    async with announcing(world, here) as notices:
        await eventually(announced)
        assert await log_ends(here, topic) == {0: 3}
        more = keyed(world.log([*(placed() for _ in range(3)), placed()]))[3:]
        await world.apply([nonsense(one) for one in more])
        notices.hurry()
        await eventually(announced)
    where = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(bootstrap_servers=here) as consumer:
        consumer.assign([where])
        await consumer.seek_to_beginning(where)
        sent = [await consumer.getone() for _ in range(4)]
    assert [one.key for one in sent] == [one.key for one in (*log, *more)]
    assert [dict(one.headers)["parked_position"] for one in sent] == [b"0:0", b"0:1", b"0:2", b"0:3"]
    assert {one.value for one in sent} == {b"nonsense"}
