"""The public topics as a subscriber reads them."""

import asyncio
from collections.abc import Iterable, Set
from typing import NamedTuple
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from eventlog.messages import Message, read_message
from eventlog.partitioning import order_key, partition_of
from eventlog.settings import Settings
from eventlog.topic_admin import admin_client
from projections.public.view import PublicView
from schemas.codec import Codec
from schemas.publish import load_public_codec
from tests.kit.worlds import log_of
from tests.projections.public.expected import expected

_PARTITIONS = 6
_TOPICS = [topic.name for topic in PublicView.publishes]


class Read(NamedTuple):
    """A message, and the value of its record."""

    message: Message
    value: bytes


Told = dict[tuple[str, UUID], list[Message]]
"""{(topic, order): its messages, in sequence}"""


async def agree(settings: Settings, codec: Codec, but: Set[str] = frozenset()) -> int:
    """Hold the topics against the log without the records at `but`; how many records in the topics were repeats.

    A subscriber may know a repeat by its id, for as long as it keeps ids, or by its order's version. It sees each
    message once either way, those of an order and a topic in sequence.
    """
    found = await read_topics(settings)
    wanted = by_order(expected(await log_of(settings, codec, but)))
    assert by_order(first_of_each_id(found)) == wanted
    assert by_order(newer_than_before(found)) == wanted
    by_id: dict[str, Read] = {}
    for read in found:
        assert by_id.setdefault(read.message.event_id, read) == read, "a repeat with other bytes"
    return len(found) - len(by_id)


async def read_topics(settings: Settings) -> list[Read]:
    """What is in the topics now, each partition's in order; what is in a wrong place is refused."""
    codec = await asyncio.to_thread(load_public_codec, settings.registry_url, settings.topic_prefix)
    every = [TopicPartition(settings.topic(topic), p) for topic in _TOPICS for p in range(_PARTITIONS)]
    found: list[Read] = []
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
                    found.append(Read(message, record.value))
    return found


def by_order(messages: Iterable[Message]) -> Told:
    """`messages` as they are, by topic and order."""
    told: Told = {}
    for message in messages:
        told.setdefault((message.topic, message.event.order_id), []).append(message)
    return told


def first_of_each_id(found: Iterable[Read]) -> list[Message]:
    """What somebody handles who remembers ids."""
    handled: dict[str, Message] = {}
    for message, _ in found:
        handled.setdefault(message.event_id, message)
    return list(handled.values())


def newer_than_before(found: Iterable[Read]) -> list[Message]:
    """What somebody handles who remembers, for each topic and order, the last version."""
    reached: dict[tuple[str, UUID], int] = {}
    handled = []
    for message, _ in found:
        about = (message.topic, message.event.order_id)
        if message.event.order_version > reached.get(about, 0):
            reached[about] = message.event.order_version
            handled.append(message)
    return handled


async def set_config(settings: Settings, topic: str, **values: str) -> None:
    """Give a topic these settings, with _ for a dot, and no others."""
    async with admin_client(settings) as admin:
        name = settings.topic(topic)
        configs = {key.replace("_", "."): value for key, value in values.items()}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs=configs)])
