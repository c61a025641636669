"""An order's events as they come, for any number of listeners: woken by Postgres, read for all of them at once."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from uuid import UUID

from eventlog.partitioning import partition_of
from query_side.database import Row, Unavailable
from query_side.wait import Reached

# The events of an order behind a version; when many ask at once, they are read together.
News = Callable[[tuple[UUID, int]], Awaitable[list[Row]]]


class Changes:
    """What happens to orders from a version on, for `listeners` now. `news` reads it, `reached` says when to look."""

    def __init__(self, news: News, reached: Reached, partitions: int, heartbeat_s: float) -> None:
        self._news = news
        self._reached = reached
        self._partitions = partitions
        self._heartbeat_s = heartbeat_s
        self.listeners = 0

    async def follow(self, order_id: UUID, after: int) -> AsyncIterator[Sequence[Row]]:
        """`version`, `type` and `body` of the order's events behind the version `after`, each once, in order.

        Yields nothing, as a sign of life, when nothing came for a while. Ends when the process does. Postgres
        being away is waited out.
        """
        self.listeners += 1
        try:
            async for rows in self._follow(order_id, after):
                yield rows
        finally:
            self.listeners -= 1

    async def _follow(self, order_id: UUID, after: int) -> AsyncIterator[Sequence[Row]]:
        partition = partition_of(order_id, self._partitions)
        while not self._reached.ended:
            seen = self._reached.moves(partition)
            try:
                rows = await self._news((order_id, after))
            except Unavailable:
                rows = []
            if rows:
                after = rows[-1]["version"]
                yield rows
            elif not await self._reached.moved(partition, seen, self._heartbeat_s):
                yield []
