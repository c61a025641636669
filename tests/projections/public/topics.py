"""The public topics as a subscriber reads them."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition

from eventlog.messages import Message, read_message
from eventlog.partitioning import order_key, partition_of
from eventlog.settings import Settings
from projections.public.view import PublicView
from schemas.publish import load_public_codec

_PARTITIONS = 6
_TOPICS = [topic.name for topic in PublicView.publishes]


class Read(NamedTuple):
    """A message, and the value of its record."""

    message: Message
    value: bytes


async def read_topics(settings: Settings) -> dict[str, list[Read]]:
    """{topic: what is there now}, each order's in the order of its offsets; what is in a wrong place is refused."""
    codec = await asyncio.to_thread(load_public_codec, settings.registry_url, settings.topic_prefix)
    every = [TopicPartition(settings.topic(topic), p) for topic in _TOPICS for p in range(_PARTITIONS)]
    found: dict[str, list[Read]] = {topic: [] for topic in _TOPICS}
    async with AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, auto_offset_reset="none") as consumer:
        consumer.assign(every)
        await consumer.seek_to_beginning(*every)
        ends = await consumer.end_offsets(every)
        while any([await consumer.position(where) < end for where, end in ends.items()]):
            for where, records in (await consumer.getmany(timeout_ms=200)).items():
                topic = where.topic.removeprefix(settings.topic_prefix)
                for record in records:
                    message = read_message(record.headers, codec.decode(record.value))
                    order_id = message.event.order_id
                    assert (message.topic, record.key) == (topic, order_key(order_id))
                    assert where.partition == partition_of(order_id, _PARTITIONS)
                    assert dict(record.headers)["ce_source"] == b"orderlog/public"
                    found[topic].append(Read(message, record.value))
    return found


def by_order(messages: list[Message]) -> dict[str, dict[UUID, list[Message]]]:
    """{topic: {order: its messages, in order}}, each message at its first time."""
    found: dict[str, dict[UUID, list[Message]]] = {topic: {} for topic in _TOPICS}
    seen: set[str] = set()
    for message in messages:
        if message.event_id not in seen:
            seen.add(message.event_id)
            found[message.topic].setdefault(message.event.order_id, []).append(message)
    return found


def all_of(found: dict[str, list[Read]], pick: Callable[[Read], bool] = lambda _: True) -> list[Message]:
    """The messages of all topics, one topic after the other."""
    return [read.message for reads in found.values() for read in reads if pick(read)]
