"""Commands per second of the writers without HTTP, against bare batches of as many records by the same client."""

import asyncio
import time
from collections.abc import Iterator, Sequence

from benchmarks.append import bare_topic
from benchmarks.orders import empty_state, order, request, until_ready
from benchmarks.results import Figure
from command_side.bootstrap import running_router
from command_side.group_commit import Batch
from command_side.outcomes import CommandRequest
from command_side.routing import Router
from eventlog.fencing import Draft, LogClient, advance
from eventlog.settings import Settings
from schemas.codec import Codec
from schemas.publish import load_codec
from service.serving import spare_the_collector

_COMMANDS, _AT_ONCE, _BATCH = 60_000, 2_000, 100


async def measure(settings: Settings) -> list[Figure]:
    """Orders placed per second by one process with 2,000 under way at any time."""
    codec = await asyncio.to_thread(load_codec, settings.registry_url, settings.topic_prefix)
    requests = [request(order()) for _ in range(_COMMANDS)]
    async with running_router(settings, codec, "http://benchmark") as router:
        await until_ready(router)
        spare_the_collector()  # as a serving process does
        start = time.perf_counter()
        ahead = iter(requests)
        await asyncio.gather(*(_submit_all(router, ahead) for _ in range(_AT_ONCE)))
        ours = _COMMANDS / (time.perf_counter() - start)
    bare = await bare_rate(settings, codec, requests)
    return [Figure("commands, writers without HTTP", ours, "1/s", "bare appends", bare)]


async def _submit_all(router: Router, ahead: Iterator[CommandRequest]) -> None:
    for submission in ahead:
        await router.submit(submission)


async def bare_rate(settings: Settings, codec: Codec, requests: Sequence[CommandRequest]) -> float:
    """Records per second when what was decided beforehand is only appended, one batch of 100 after the other."""
    batch = Batch(0, empty_state(settings), codec, term=1)
    for submission in requests:
        batch.decide(submission)
    async with LogClient(settings.kafka_bootstrap, bare_topic(settings), settings.produce_deadline_s) as client:
        epoch, sequence = await client.elect(f"{settings.topic_prefix}bare"), 0
        start = time.perf_counter()
        for first in range(0, len(batch.drafts), _BATCH):
            drafts: Sequence[Draft] = batch.drafts[first : first + _BATCH]
            await client.append(0, epoch, sequence, drafts)
            sequence = advance(sequence, len(drafts))
        return len(batch.drafts) / (time.perf_counter() - start)
