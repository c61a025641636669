"""The fence against a real broker: what eventlog/fencing.py takes for granted of Kafka and aiokafka."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from eventlog import topic_admin
from eventlog.fencing import Draft, Fenced, LogClient, OutcomeUnknown, advance
from eventlog.reader import LogTruncated, read_partition
from eventlog.settings import Settings
from tests.kit.worlds import own_kafka

PARTITION = 0


def draft(value: bytes) -> Draft:
    return Draft(b"order", value, [("term", b"1")], int(time.time() * 1000))


@asynccontextmanager
async def client(settings: Settings) -> AsyncIterator[LogClient]:
    async with LogClient(settings.kafka_bootstrap, settings.topic("order.events"), 5) as opened:
        yield opened


@pytest.fixture
async def topics(settings: Settings) -> Settings:
    await topic_admin.apply(settings)
    return settings


async def values(settings: Settings, end: int) -> list[bytes]:
    topic = settings.topic("order.events")
    batches = read_partition(settings.kafka_bootstrap, topic, PARTITION, 0, end)
    return [record.value async for batch in batches for record in batch]


async def test_offsets_are_dense_and_a_batch_is_whole(topics: Settings) -> None:
    async with client(topics) as log:
        epoch = await log.elect("writer")
        assert await log.append(PARTITION, epoch, 0, [draft(b"a"), draft(b"b")]) == 0
        assert await log.append(PARTITION, epoch, 2, [draft(b"c")]) == 2
        assert await log.end_offset(PARTITION) == 3
    assert await values(topics, 3) == [b"a", b"b", b"c"]


async def test_a_stale_writer_is_refused_once_the_new_one_wrote(topics: Settings) -> None:
    async with client(topics) as old, client(topics) as new:
        stale = await old.elect("writer")
        await old.append(PARTITION, stale, 0, [draft(b"old")])
        elected = await new.elect("writer")
        assert (elected.producer_id, elected.epoch) == (stale.producer_id, stale.epoch + 1)
        assert await new.append(PARTITION, elected, 0, [draft(b"barrier")]) == 1
        with pytest.raises(Fenced):
            await old.append(PARTITION, stale, 1, [draft(b"late")])
        assert await new.append(PARTITION, elected, 1, [draft(b"next")]) == 2
    assert await values(topics, 3) == [b"old", b"barrier", b"next"]


async def test_the_same_batch_sent_twice_lands_once(topics: Settings) -> None:
    async with client(topics) as log:
        epoch = await log.elect("writer")
        first = await log.append(PARTITION, epoch, 0, [draft(b"a")])
        assert await log.append(PARTITION, epoch, 0, [draft(b"a")]) == first
        assert await log.end_offset(PARTITION) == 1


async def test_a_skipped_sequence_is_not_appended(topics: Settings) -> None:
    async with client(topics) as log:
        epoch = await log.elect("writer")
        await log.append(PARTITION, epoch, 0, [draft(b"a")])
        with pytest.raises(OutcomeUnknown):
            await log.append(PARTITION, epoch, 7, [draft(b"b")])
        assert await log.end_offset(PARTITION) == 1


async def test_reading_past_the_end_is_an_error_not_a_reset(topics: Settings) -> None:
    with pytest.raises(LogTruncated):
        async for _ in read_partition(topics.kafka_bootstrap, topics.topic("order.events"), PARTITION, 5, 9):
            pass


async def test_the_fence_holds_over_a_broker_that_was_killed(settings: Settings, tmp_path: Path) -> None:
    with own_kafka(settings, tmp_path) as (kafka, here):
        await topic_admin.apply(here)
        async with client(here) as old, client(here) as new:
            stale = await old.elect("writer")
            await old.append(PARTITION, stale, 0, [draft(b"old")])
            elected = await new.elect("writer")
            await new.append(PARTITION, elected, 0, [draft(b"barrier")])
            await asyncio.to_thread(kafka.kill)
            in_flight = asyncio.create_task(new.append(PARTITION, elected, 1, [draft(b"during")]))
            await asyncio.to_thread(kafka.start)
            assert await in_flight == 2
            with pytest.raises(Fenced):
                await old.append(PARTITION, stale, 1, [draft(b"late")])
            assert await new.append(PARTITION, elected, 2, [draft(b"after")]) == 3
        assert await values(here, 4) == [b"old", b"barrier", b"during", b"after"]


def test_sequences_wrap_as_the_broker_expects() -> None:
    assert advance(2**31 - 2, 1) == 2**31 - 1
    assert advance(2**31 - 1, 1) == 0
    assert advance(2**31 - 2, 5) == 3
