"""Many partitions' batches to one broker, in as few requests as there are answers to wait for.

A broker takes the requests of a connection one at a time and answers each before it looks at the next (its channel
is muted meanwhile). Batches that are sent apart wait for each other all the same; together they cost one request.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

# Under load two requests are on their way: while the broker has one, the commands of the other are decided. A round
# that has so many bytes leaves what else waits to the other one. With the last batch it may have one more batch than
# that, which is far below the broker's default socket.request.max.bytes (100 MiB).
_ROUND_BYTES = 128 * 1024
_AT_ONCE = 2

# What the broker answered for a partition: error code and first offset.
Answer = tuple[int, int]
_Load = dict[int, tuple[bytes, asyncio.Future[Answer]]]
Send = Callable[[Mapping[int, bytes]], Awaitable[Mapping[int, Answer]]]


class Courier:
    """Sends what is waiting as one request, and what came meanwhile as the next, once the first was answered.

    `send` takes {partition: batch} and gives the broker's {partition: answer}; what it raises, all in it get.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: list[tuple[int, bytes, asyncio.Future[Answer]]] = []
        self._waiting_bytes = 0
        self._rounds: set[asyncio.Task[None]] = set()

    async def deliver(self, partition: int, batch: bytes) -> Answer:
        """Send a batch and return the broker's answer. One at a time for each partition."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((partition, batch, answer))
        self._waiting_bytes += len(batch)
        if not self._rounds or (self._waiting_bytes >= _ROUND_BYTES and len(self._rounds) < _AT_ONCE):
            # A task starts after all that are ready to run: those that have a batch bring it before the first round.
            self._rounds.add(asyncio.create_task(self._deliver_all()))
        return await answer

    async def stop(self) -> None:
        """Send no more; who waits is cancelled."""
        rounds = list(self._rounds)
        for task in rounds:
            task.cancel()
        await asyncio.gather(*rounds, return_exceptions=True)
        for _, _, answer in self._waiting:
            answer.cancel()

    async def _deliver_all(self) -> None:
        try:
            while load := self._next_load():
                await self._deliver(load)
        finally:
            # Not in a callback: a batch that comes before that ran would wait for a round that is over.
            self._rounds.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _deliver(self, load: _Load) -> None:
        try:
            answers = await self._send({partition: batch for partition, (batch, _) in load.items()})
            for partition, (_, answer) in load.items():
                if not answer.done():
                    answer.set_result(answers[partition])
        except Exception as error:
            for _, answer in load.values():
                if not answer.done():
                    answer.set_exception(error)
        finally:
            for _, answer in load.values():
                answer.cancel()  # which does nothing to one that is answered

    def _next_load(self) -> _Load:
        """What goes with the next request, taken from what waits; without what was given up."""
        load: _Load = {}
        size, taken = 0, 0
        for partition, batch, answer in self._waiting:
            if size >= _ROUND_BYTES:
                break
            taken += 1
            self._waiting_bytes -= len(batch)
            if not answer.done():
                load[partition] = (batch, answer)
                size += len(batch)
        del self._waiting[:taken]
        return load
