"""One process that reads a whole partition, for its speed and its memory.

`python -m benchmarks.replay WAY` reads partition 0 of the log that the settings name and prints events per second.
WAY is `fold`, as a command API does whose state is gone, or `read`, which only counts what it reads.
"""

import asyncio
import sys
import time

import uvloop

from benchmarks.orders import candidate, empty_state
from command_side.election import catch_up
from eventlog.fencing import LogClient
from eventlog.reader import log_ends, read_partition
from eventlog.settings import Settings
from schemas.publish import load_codec
from schemas.topics import ORDER_EVENTS
from service.serving import spare_the_collector

_PARTITION = 0


async def fold(settings: Settings) -> float:
    """Events per second of making the partition's state anew."""
    topic = settings.topic(ORDER_EVENTS.name)
    codec = await asyncio.to_thread(load_codec, settings.registry_url, settings.topic_prefix)
    async with LogClient(settings.kafka_bootstrap, topic, settings.produce_deadline_s) as client:
        state = empty_state(settings)
        spare_the_collector()
        start = time.perf_counter()
        await catch_up(candidate(settings, client, codec), _PARTITION, state, lambda _done, _end: None)
        return state.next_offset / (time.perf_counter() - start)


async def read(settings: Settings) -> float:
    """Events per second of reading the partition and counting."""
    topic, counted = settings.topic(ORDER_EVENTS.name), 0
    end = (await log_ends(settings.kafka_bootstrap, topic))[_PARTITION]
    spare_the_collector()
    start = time.perf_counter()
    async for records in read_partition(settings.kafka_bootstrap, topic, _PARTITION, 0, end):
        counted += len(records)
    return counted / (time.perf_counter() - start)


if __name__ == "__main__":
    print(uvloop.run({"fold": fold, "read": read}[sys.argv[1]](Settings())))  # noqa: T201 - for the process that measures
