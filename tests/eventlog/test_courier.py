"""Batches of many partitions in as few requests as there are answers to wait for."""

import asyncio
from collections.abc import Mapping

import pytest

from eventlog import courier
from eventlog.courier import Answer, Courier


class Broker:
    """Answers a request when told to; each batch's offset is its length."""

    def __init__(self) -> None:
        self.requests: list[dict[int, bytes]] = []
        self._answers: asyncio.Queue[Exception | None] = asyncio.Queue()

    async def send(self, batches: Mapping[int, bytes]) -> Mapping[int, Answer]:
        self.requests.append(dict(batches))
        if error := await self._answers.get():
            raise error
        return {partition: (0, len(batch)) for partition, batch in batches.items()}

    async def answer(self, error: Exception | None = None) -> None:
        """Answer the request that is there or comes next, and let everybody take notice."""
        self._answers.put_nowait(error)
        for _ in range(5):
            await asyncio.sleep(0)


def deliver(to: Courier, partition: int, batch: bytes) -> "asyncio.Task[Answer]":
    return asyncio.create_task(to.deliver(partition, batch))


async def test_what_is_there_goes_together_and_what_comes_meanwhile_next() -> None:
    broker = Broker()
    courier_ = Courier(broker.send)
    first = [deliver(courier_, partition, b"a" * partition) for partition in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    later = [deliver(courier_, partition, b"b") for partition in (3, 4)]
    await broker.answer()
    assert [await one for one in first] == [(0, 0), (0, 1), (0, 2)]
    await broker.answer()
    assert [await one for one in later] == [(0, 1), (0, 1)]
    again = deliver(courier_, 0, b"cc")
    await broker.answer()
    assert await again == (0, 2)
    assert broker.requests == [{0: b"", 1: b"a", 2: b"aa"}, {3: b"b", 4: b"b"}, {0: b"cc"}]


async def test_an_error_is_everybody_s_in_the_request_and_nobody_s_after_it() -> None:
    broker = Broker()
    courier_ = Courier(broker.send)
    first = [deliver(courier_, partition, b"a") for partition in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    later = deliver(courier_, 2, b"b")
    await broker.answer(ConnectionError("gone"))
    for one in first:
        with pytest.raises(ConnectionError):
            await one
    await broker.answer()
    assert await later == (0, 1)


async def test_what_was_given_up_is_not_sent() -> None:
    broker = Broker()
    courier_ = Courier(broker.send)
    first = deliver(courier_, 0, b"a")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    given_up, kept = deliver(courier_, 1, b"old"), deliver(courier_, 2, b"b")
    await asyncio.sleep(0)
    given_up.cancel()
    instead = deliver(courier_, 1, b"new")
    await broker.answer()
    await broker.answer()
    assert await first == (0, 1)
    assert [await kept, await instead] == [(0, 1), (0, 3)]
    assert broker.requests[1] == {2: b"b", 1: b"new"}


async def test_a_request_is_bounded_but_takes_at_least_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "_REQUEST_BYTES", 10)
    broker = Broker()
    courier_ = Courier(broker.send)
    every = [deliver(courier_, partition, b"a" * size) for partition, size in enumerate((12, 6, 4, 1))]
    for _ in range(3):
        await broker.answer()
    assert [await one for one in every] == [(0, 12), (0, 6), (0, 4), (0, 1)]
    assert [list(request) for request in broker.requests] == [[0], [1, 2], [3]]


async def test_who_waits_is_cancelled_when_it_stops() -> None:
    broker = Broker()
    courier_ = Courier(broker.send)
    sent = deliver(courier_, 0, b"a")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting = deliver(courier_, 1, b"b")
    await asyncio.sleep(0)
    await courier_.stop()
    for one in (sent, waiting):
        with pytest.raises(asyncio.CancelledError):
            await one
    assert len(broker.requests) == 1
