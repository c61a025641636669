"""Wait until a view has reached a position, woken by Postgres when the view moves: nothing is polled."""

import asyncio
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
    """How far a projection's view has come, kept up to date by `listening`."""

    def __init__(self, postgres_url: str, projection: str) -> None:
        self._url = postgres_url
        self._projection = projection
        self._offsets: dict[int, int] = {}
        self._moved = asyncio.Condition()

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

    async def wait_for(self, wanted: Mapping[int, int], timeout_s: float) -> bool:
        """Whether the view reflected the record at each {partition: offset}, within `timeout_s` seconds."""

        def all_reached() -> bool:
            return all(self._offsets.get(partition, -1) >= offset for partition, offset in wanted.items())

        if all_reached():
            return True
        try:
            async with asyncio.timeout(timeout_s), self._moved:
                return await self._moved.wait_for(all_reached)
        except TimeoutError:
            return False

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
            await self._advance({row["partition"]: row["reached"] for row in rows})
            async for notification in connection.notifies():
                projection, partition, offset = notification.payload.rsplit(":", 2)
                if projection == self._projection:
                    await self._advance({int(partition): int(offset)})

    async def _advance(self, offsets: Mapping[int, int]) -> None:
        async with self._moved:
            self._offsets.update(offsets)
            self._moved.notify_all()
