"""Many partitions' batches to one broker, in as few requests as there are answers to wait for.

A broker takes the requests of a connection one at a time and answers each before it looks at the next (its channel
is muted meanwhile). Batches that are sent apart wait for each other all the same; together they cost one request.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

# Far below the broker's default socket.request.max.bytes (100 MiB).
_REQUEST_BYTES = 16 * 1024 * 1024

# What the broker answered for a partition: error code and first offset.
Answer = tuple[int, int]
Send = Callable[[Mapping[int, bytes]], Awaitable[Mapping[int, Answer]]]


class Courier:
    """Sends what is waiting as one request, and what came meanwhile as the next, once the first was answered.

    `send` takes {partition: batch} and gives the broker's {partition: answer}; what it raises, all in it get.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: list[tuple[int, bytes, asyncio.Future[Answer]]] = []
        self._rounds: asyncio.Task[None] | None = None

    async def deliver(self, partition: int, batch: bytes) -> Answer:
        """Send a batch and return the broker's answer. One at a time for each partition."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((partition, batch, answer))
        if self._rounds is None:
            # A task starts after all that are ready to run: those that have a batch bring it before the first round.
            self._rounds = asyncio.create_task(self._deliver_all())
        return await answer

    async def stop(self) -> None:
        """Send no more; who waits is cancelled."""
        if self._rounds is not None:
            self._rounds.cancel()
            with suppress(asyncio.CancelledError):
                await self._rounds

    async def _deliver_all(self) -> None:
        load: dict[int, tuple[bytes, asyncio.Future[Answer]]] = {}
        try:
            while load := self._next_load():
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
            self._rounds = None
            for answer in [*(answer for _, answer in load.values()), *(answer for _, _, answer in self._waiting)]:
                answer.cancel()

    def _next_load(self) -> dict[int, tuple[bytes, asyncio.Future[Answer]]]:
        """What goes with the next request, taken from what waits; without what was given up."""
        load: dict[int, tuple[bytes, asyncio.Future[Answer]]] = {}
        size, taken = 0, 0
        for partition, batch, answer in self._waiting:
            if size and size + len(batch) > _REQUEST_BYTES:
                break
            taken += 1
            if not answer.done():
                load[partition] = (batch, answer)
                size += len(batch)
        del self._waiting[:taken]
        return load
