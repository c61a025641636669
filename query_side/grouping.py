"""Reads in groups: the requests that come while a read is under way share the next one.

A read of fifty keys costs Postgres and this process little more than a read of one, and under load it was most of a
request's time. When nothing is under way, a key is read at once, alone, so no request waits for others to come.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Grouped(Generic[K, V]):
    """Values by key, read by `read`, which answers every key it is given or raises for all of them."""

    def __init__(self, read: Callable[[Collection[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._read = read
        self._wanted: dict[K, asyncio.Future[V]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def get(self, key: K) -> V:
        """The value of `key`, read after this was called. Raises what `read` raises."""
        future = self._wanted.get(key)
        if future is None:
            future = self._wanted[key] = asyncio.get_running_loop().create_future()
            if self._reading is None:
                self._reading = asyncio.create_task(self._read_all())
        # Others may wait for the same key: a client that goes away takes nothing from them.
        return await asyncio.shield(future)

    async def _read_all(self) -> None:
        try:
            while self._wanted:
                wanted, self._wanted = self._wanted, {}
                try:
                    values = await self._read(wanted.keys())
                except Exception as error:
                    for future in wanted.values():
                        future.set_exception(error)
                else:
                    for key, future in wanted.items():
                        future.set_result(values[key])
        finally:
            self._reading = None
