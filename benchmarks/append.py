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
from schemas.codec import Codec
from schemas.publish import load_codec
from service.serving import spare_the_collector

_ROUNDS, _WARM_UP = 4_000, 400


class BareProduce:
    """One record of the log's kind, sent by a stock idempotent producer; enter it, then `send` as often as wanted."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        batch = Batch(0, empty_state(settings), codec, term=1)
        batch.decide(request(order()))
        (self._draft,) = batch.drafts
        self._topic = bare_topic(settings)
        self.producer = AIOKafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap, enable_idempotence=True, acks="all"
        )

    async def send(self) -> None:
        """Return once the record is acknowledged by all in-sync replicas."""
        draft = self._draft
        await self.producer.send_and_wait(self._topic, draft.value, draft.key, headers=draft.headers)


async def measure(settings: Settings) -> list[Figure]:
    """p50 and p99 in ms, one at a time, the two ways taking turns so that both see the same machine."""
    commands: list[float] = []
    produces: list[float] = []
    codec = await asyncio.to_thread(load_codec, settings.registry_url, settings.topic_prefix)
    bare = BareProduce(settings, codec)
    async with running_router(settings, codec, "http://benchmark") as router, bare.producer:
        await until_ready(router)
        spare_the_collector()
        for _ in range(_ROUNDS):
            submission = request(order())
            commands.append(await timed(router.submit(submission)))
            produces.append(await timed(bare.send()))
    ours, peers = sorted(commands[_WARM_UP:]), sorted(produces[_WARM_UP:])
    return [
        Figure(f"command to log, {name}", percentile(ours, p), "ms", "bare idempotent produce", percentile(peers, p))
        for name, p in (("p50", 0.5), ("p99", 0.99))
    ]


def bare_topic(settings: Settings) -> str:
    """Where peers write: a topic like the log, of no one's."""
    return settings.topic("bare")


async def timed(action: Awaitable[object]) -> float:
    """How long the action takes, in ms."""
    start = time.perf_counter()
    await action
    return (time.perf_counter() - start) * 1000
