"""Grouped reads: one at a time, everyone's key in the next, nobody harmed by another."""

import asyncio
from collections.abc import Collection, Mapping

import pytest

from query_side.grouping import Grouped


class Store:
    """Answers each key with its square, once it is let go on; remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[set[int]] = []
        self.going_on = asyncio.Event()
        self.broken = False

    async def read(self, keys: Collection[int]) -> Mapping[int, int]:
        self.asked.append(set(keys))
        await self.going_on.wait()
        if self.broken:
            raise OSError("away")
        return {key: key * key for key in keys}


async def test_what_comes_during_a_read_shares_the_next() -> None:
    store = Store()
    grouped = Grouped(store.read)
    first = asyncio.create_task(grouped.get(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(grouped.get(key)) for key in (2, 3, 2)]
    await asyncio.sleep(0)
    store.going_on.set()
    assert await asyncio.gather(first, *others) == [1, 4, 9, 4]
    assert store.asked == [{1}, {2, 3}]
    assert await grouped.get(4) == 16


async def test_a_failure_is_everyones_and_the_next_read_is_a_new_one() -> None:
    store = Store()
    grouped = Grouped(store.read)
    store.broken = True
    store.going_on.set()
    failed = await asyncio.gather(grouped.get(1), grouped.get(2), return_exceptions=True)
    assert [type(error) for error in failed] == [OSError, OSError]
    store.broken = False
    assert await grouped.get(1) == 1


async def test_one_who_goes_away_takes_nothing_from_the_others() -> None:
    store = Store()
    grouped = Grouped(store.read)
    leaves, stays = (asyncio.create_task(grouped.get(5)) for _ in range(2))
    await asyncio.sleep(0)
    leaves.cancel()
    store.going_on.set()
    assert await stays == 25
    with pytest.raises(asyncio.CancelledError):
        await leaves
