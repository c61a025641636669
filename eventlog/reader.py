"""Bounded reading: a stretch of one partition, from one offset up to another, in order."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from schemas.errors import Explained

_POLL_MS = 500
_MAX_BYTES = 8 * 1024 * 1024


class LogTruncated(Explained):
    """The log does not hold the records asked for: it lost its head or its tail, or is another log."""


def bounded_consumer(bootstrap: str) -> AIOKafkaConsumer:
    """A consumer without a group, with large fetches, that never resets its position silently."""
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=_MAX_BYTES,
        fetch_max_bytes=_MAX_BYTES,
    )


async def read_partition(
    bootstrap: str, topic: str, partition: int, start: int, end: int
) -> AsyncIterator[list[ConsumerRecord]]:
    """Yield the records of `partition` with start <= offset < end, in order, in batches as fetched.

    Waits for records that are not there yet, so `end` should be one that was seen to be reached.
    Raises LogTruncated when the log does not reach back to `start`, or ends before it.
    """
    if start >= end:
        return
    where = TopicPartition(topic, partition)
    async with bounded_consumer(bootstrap) as consumer:
        consumer.assign([where])
        consumer.seek(where, start)
        position = start
        while position < end:
            try:
                fetched = await consumer.getmany(where, timeout_ms=_POLL_MS)
            except OffsetOutOfRangeError as error:
                raise LogTruncated(f"partition {partition} of {topic} has no offset {position}") from error
            records = fetched.get(where, [])
            if not records:
                continue
            position = records[-1].offset + 1
            yield [record for record in records if record.offset < end]


async def offsets_at(bootstrap: str, topic: str, when: datetime) -> Mapping[int, int]:
    """The offset of the first record of every partition that was recorded at `when` or later, or else its end."""
    ends = await log_ends(bootstrap, topic)
    async with bounded_consumer(bootstrap) as consumer:
        milliseconds = int(when.timestamp() * 1000)
        found = await consumer.offsets_for_times({TopicPartition(topic, p): milliseconds for p in ends})
    return {where.partition: at.offset if at else ends[where.partition] for where, at in found.items()}


async def log_ends(bootstrap: str, topic: str) -> Mapping[int, int]:
    """The end offset of every partition of `topic`. Raises UnknownTopicOrPartitionError when there is none."""
    consumer = bounded_consumer(bootstrap)
    try:
        await consumer.start()
        partitions = await consumer._client._wait_on_metadata(topic)
        ends = await consumer.end_offsets([TopicPartition(topic, p) for p in partitions])
    finally:
        await consumer.stop()  # also of one whose start was given up, which entering it as a context would leave open
    return {where.partition: end for where, end in ends.items()}
