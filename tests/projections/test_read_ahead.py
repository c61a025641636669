"""Decoding ahead: every batch once and in order, failures left for their turn, nothing left running."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any

from projections.read_ahead import DecodedRecord, decode, decoded_ahead
from tests.kit.codec import local_codec
from tests.projections.histories import placed
from tests.projections.records import Record, records

CODEC = local_codec()


def batch(partition: int, log: list[Any]) -> Any:
    return SimpleNamespace(message=SimpleNamespace(partition=partition, value=log))


async def test_what_cannot_be_decoded_is_left_with_all_behind_it() -> None:
    events = [placed() for _ in range(250)]
    log: list[Any] = list(records(CODEC, events))
    log[180] = Record(180, b"nonsense", log[180].headers)
    await decode(CODEC, 0, log)
    assert [one.recorded.event for one in log[:180] if isinstance(one, DecodedRecord)] == events[:180]
    assert not any(isinstance(one, DecodedRecord) for one in log[180:])
    assert [one.offset for one in log] == list(range(250))


async def test_the_next_batch_is_decoded_while_the_one_before_is_with_the_caller() -> None:
    made = [batch(n, list(records(CODEC, [placed() for _ in range(5)]))) for n in range(4)]

    async def batches() -> AsyncIterator[Any]:
        for one in made:
            yield one

    seen: list[int] = []
    async for one in decoded_ahead(batches(), CODEC):
        seen.append(one.message.partition)
        following = made[len(seen)].message.value if len(seen) < len(made) else []
        while following and not isinstance(following[-1], DecodedRecord):
            await asyncio.sleep(0)
    assert seen == [0, 1, 2, 3]


async def test_a_caller_that_stops_leaves_nothing_running() -> None:
    ended = asyncio.Event()

    async def batches() -> AsyncIterator[Any]:
        try:
            yield batch(0, [])
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with aclosing(decoded_ahead(batches(), CODEC)) as ahead:
        assert (await anext(ahead)).message.partition == 0
        await asyncio.sleep(0)
    assert ended.is_set()
