"""Wait until a view has reached a position, woken by Postgres when the view moves: nothing is polled."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from psycopg import AsyncConnection, OperationalError

from query_side.database import connection_options

log = structlog.get_logger()

CHANNEL = "orderlog_positions"
_RECONNECT_S = 0.5
_READ = """
    SELECT c.partition, c.next_offset - 1 AS reached FROM orderlog.checkpoints c
    JOIN orderlog.generations g USING (projection, generation) WHERE g.projection = %s AND g.state = 'live'
"""


class Reached:
    """How far a projection's view has come, kept up to date by `listening` over one connection for all who wait.

    `ended` is set by `end`, when the process stops: nobody is kept waiting then.
    """

    def __init__(self, postgres_url: str, projection: str) -> None:
        self._url = postgres_url
        self._projection = projection
        self._offsets: dict[int, int] = {}
        self._moves: Counter[int] = Counter()
        self._next_move: dict[int, asyncio.Event] = defaultdict(asyncio.Event)
        self.ended = False

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Follow the view's positions while this is entered."""
        task = asyncio.create_task(self._listen_always())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def end(self) -> None:
        """Wake all who wait, and let nobody wait any more."""
        self.ended = True
        self._wake(list(self._next_move))

    async def wait_for(self, wanted: Mapping[int, int], timeout_s: float) -> bool:
        """Whether the view reflected the record at each {partition: offset}, within `timeout_s` seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                for partition, offset in wanted.items():
                    while self._offsets.get(partition, -1) < offset:
                        if self.ended:
                            return False
                        await self._next_move[partition].wait()
        except TimeoutError:
            return False
        return True

    def moves(self, partition: int) -> int:
        """How often `partition` may have moved so far: to be taken before a read whose result is to be followed up."""
        return self._moves[partition]

    async def moved(self, partition: int, since: int, timeout_s: float) -> bool:
        """Whether `partition` may have moved after `moves` said `since`, within `timeout_s`; or `ended` was set."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._moves[partition] == since and not self.ended:
                    await self._next_move[partition].wait()
        except TimeoutError:
            return False
        return True

    async def _listen_always(self) -> None:
        while True:
            try:
                await self._listen()
            except OperationalError as error:
                log.warning("positions_not_heard", reason=str(error).strip())
                await asyncio.sleep(_RECONNECT_S)

    async def _listen(self) -> None:
        connection: AsyncConnection[Any] = await AsyncConnection.connect(self._url, **connection_options())
        async with connection:
            await connection.execute(f"LISTEN {CHANNEL}".encode())
            # Read once after LISTEN: whatever moved before is here, whatever moves after is notified.
            rows = await (await connection.execute(_READ, [self._projection])).fetchall()
            self._advance({row["partition"]: row["reached"] for row in rows})
            # Also those that stand still: a reader of theirs may have failed while Postgres was away.
            self._wake(list(self._next_move))
            async for notification in connection.notifies():
                projection, partition, offset = notification.payload.rsplit(":", 2)
                if projection == self._projection:
                    self._advance({int(partition): int(offset)})

    def _advance(self, offsets: Mapping[int, int]) -> None:
        self._offsets.update(offsets)
        self._wake(list(offsets))

    def _wake(self, partitions: list[int]) -> None:
        for partition in partitions:
            self._moves[partition] += 1
            if event := self._next_move.pop(partition, None):
                event.set()
