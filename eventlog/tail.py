"""Follow the log as a person reads it: decoded events, all partitions, as they come."""

from collections.abc import AsyncIterator

from aiokafka import AIOKafkaConsumer, TopicPartition

from eventlog.reader import bounded_consumer
from eventlog.recorded import RecordedEvent, read_record
from eventlog.settings import Settings
from schemas.codec import Codec
from schemas.publish import load_codec


async def tail(
    settings: Settings, *, from_start: bool, follow: bool, order_id: str | None
) -> AsyncIterator[RecordedEvent]:
    """Yield the log's events: all there are or only new ones, of one order or of all.

    In order within a partition, as they arrive across partitions. Without `follow` it ends at the
    log's present end. Raises DecodeError at a record that is not one of ours.
    """
    codec = load_codec(settings.registry_url, settings.topic_prefix)
    topic = settings.topic("order.events")
    async with bounded_consumer(settings.kafka_bootstrap) as consumer:
        partitions = [TopicPartition(topic, p) for p in range(settings.partitions)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        if from_start:
            await consumer.seek_to_beginning(*partitions)
        else:
            for where in partitions:
                consumer.seek(where, ends[where])
        key = order_id.encode() if order_id else None
        while follow or not await _reached(consumer, ends):
            async for recorded in _fetched(consumer, codec, key):
                yield recorded


async def _fetched(consumer: AIOKafkaConsumer, codec: Codec, key: bytes | None) -> AsyncIterator[RecordedEvent]:
    for where, records in (await consumer.getmany(timeout_ms=500)).items():
        for record in records:
            if key is None or record.key == key:
                yield read_record(codec, where.partition, record)


async def _reached(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
    return all([await consumer.position(where) >= end for where, end in ends.items()])
