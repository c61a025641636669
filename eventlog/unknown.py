"""What the log has of types that this release does not know: counted where it stands, from the first record on."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from eventlog.reader import log_ends, read_partition
from eventlog.settings import Settings
from schemas.publish import load_codec
from schemas.topics import ORDER_EVENTS


@dataclass(slots=True)
class UnknownType:
    """How many records of one partition are of an unknown `type`; the offsets of the first and the last."""

    type: str
    partition: int
    events: int
    first: int
    last: int


async def find_unknown(settings: Settings, tell: Callable[[int, int], None]) -> list[UnknownType]:
    """The unknown types in the log up to its present end, by type and partition; `tell(done, total)` records.

    Raises LogTruncated, NotRegistered, RegistryUnavailable, KafkaError.
    """
    codec = await asyncio.to_thread(load_codec, settings.registry_url, settings.topic_prefix)
    topic, bootstrap = settings.topic(ORDER_EVENTS.name), settings.kafka_bootstrap
    found: dict[tuple[str, int], UnknownType] = {}
    ends, done = await log_ends(bootstrap, topic), 0
    for partition, end in sorted(ends.items()):
        async for records in read_partition(bootstrap, topic, partition, 0, end):
            for record in records:
                if kind := codec.unknown_type(record.value):
                    one = found.setdefault((kind, partition), UnknownType(kind, partition, 0, record.offset, 0))
                    one.events, one.last = one.events + 1, record.offset
            done += len(records)
            tell(done, sum(ends.values()))
    return [found[key] for key in sorted(found)]
