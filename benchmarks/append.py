"""How long a command takes to be in the log, against a bare idempotent produce of the same bytes."""

import asyncio
import time
from collections.abc import Awaitable

from aiokafka import AIOKafkaProducer

from benchmarks.orders import empty_state, order, request, until_ready
from benchmarks.results import Figure, percentile
from command_side.bootstrap import running_router
from command_side.group_commit import Batch
from eventlog.settings import Settings
from schemas.publish import load_codec

_ROUNDS, _WARM_UP = 4_000, 400


async def measure(settings: Settings) -> list[Figure]:
    """p50 and p99 in ms, one at a time, the two ways taking turns so that both see the same machine."""
    commands: list[float] = []
    produces: list[float] = []
    codec = await asyncio.to_thread(load_codec, settings.registry_url, settings.topic_prefix)
    batch = Batch(0, empty_state(settings), codec, term=1)
    batch.decide(request(order()))
    (draft,) = batch.drafts
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap, enable_idempotence=True, acks="all")
    bare = bare_topic(settings)
    async with running_router(settings, codec, "http://benchmark") as router, producer:
        await until_ready(router)
        for _ in range(_ROUNDS):
            submission = request(order())
            commands.append(await _timed(router.submit(submission)))
            produces.append(await _timed(producer.send_and_wait(bare, draft.value, draft.key, headers=draft.headers)))
    ours, peers = sorted(commands[_WARM_UP:]), sorted(produces[_WARM_UP:])
    return [
        Figure(f"command to log, {name}", percentile(ours, p), "ms", "bare idempotent produce", percentile(peers, p))
        for name, p in (("p50", 0.5), ("p99", 0.99))
    ]


def bare_topic(settings: Settings) -> str:
    """Where the bare producer writes: a topic like the log, of no one's."""
    return settings.topic("bare")


async def _timed(action: Awaitable[object]) -> float:
    start = time.perf_counter()
    await action
    return (time.perf_counter() - start) * 1000
