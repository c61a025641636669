"""Decoding ahead: every batch once and in order, failures left for their turn, nothing left running."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any

import pytest

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


def log_from(offset: int, count: int) -> list[Any]:
    """`count` records from `offset` on."""
    return list(records(CODEC, [placed() for _ in range(offset + count)])[offset:])


async def given(made: list[Any]) -> AsyncIterator[Any]:
    for one in made:
        await asyncio.sleep(0)  # as a stream does
        yield one


async def test_what_comes_while_the_caller_works_is_decoded_and_taken_together() -> None:
    made = [batch(p, log_from(offset, 5)) for offset in (0, 5) for p in range(3)]
    rounds = []
    async for one in decoded_ahead(given(made), CODEC):
        rounds.append(one)
        while not all(isinstance(record, DecodedRecord) for each in made for record in each.message.value):
            await asyncio.sleep(0)
    assert [event for one in rounds for event in one.events] == made
    assert len(rounds) == 2
    for partition in range(3):
        taken = [record.offset for one in rounds for record in one.records.get(partition, ())]
        assert taken == list(range(10))


async def test_no_more_is_taken_than_there_is_room_for() -> None:
    made = [batch(0, log_from(offset, 5)) for offset in range(0, 50, 5)]
    sizes = []
    async for one in decoded_ahead(given(made), CODEC, most=10):
        sizes.append(len(one.records[0]))
        for _ in range(20):
            await asyncio.sleep(0)
    assert (sum(sizes), max(sizes)) == (50, 10)


async def test_what_does_not_follow_is_another_round() -> None:
    """After a rebalance a partition is read from where the view was found, whatever is still waiting."""
    made = [batch(0, log_from(offset, 5)) for offset in (0, 5, 3, 8)] + [batch(1, log_from(0, 5))]
    taken = []
    async for one in decoded_ahead(given(made), CODEC):
        taken += [[record.offset for record in some] for some in one.records.values()]
        for _ in range(20):
            await asyncio.sleep(0)
    assert [offsets == list(range(offsets[0], offsets[-1] + 1)) for offsets in taken] == [True] * len(taken)
    assert sorted(offset for offsets in taken for offset in offsets) == sorted([*range(10), *range(3, 13), *range(5)])


async def test_what_the_stream_raises_reaches_the_caller_after_what_came_before() -> None:
    async def failing() -> AsyncIterator[Any]:
        yield batch(0, log_from(0, 5))
        raise RuntimeError("the stream ended")

    async with aclosing(decoded_ahead(failing(), CODEC)) as rounds:
        assert len((await anext(rounds)).events) == 1
        with pytest.raises(RuntimeError, match="the stream ended"):
            await anext(rounds)


async def test_a_caller_that_stops_leaves_nothing_running() -> None:
    ended = asyncio.Event()

    async def batches() -> AsyncIterator[Any]:
        try:
            yield batch(0, log_from(0, 1))
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with aclosing(decoded_ahead(batches(), CODEC)) as ahead:
        assert [event.message.partition for event in (await anext(ahead)).events] == [0]
        await asyncio.sleep(0)
    assert ended.is_set()
