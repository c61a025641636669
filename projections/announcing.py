"""A table's workers in Postgres: who serves which partition, and how far it has come.

Only hints: a query that follows a stale one is refused by the worker, and nothing is read from here to fold on.
So they are written behind the work, as often as Postgres takes them, and its absence holds nothing up.
"""

import asyncio
from contextlib import suppress
from typing import Self

import structlog
from psycopg import Error, sql

from projections.batches import Place
from projections.checkpoints import POSITIONS_CHANNEL
from projections.generations import Generation
from projections.table_view import TableView
from service.database import Connection, Database

log = structlog.get_logger()

_PAUSE_S = 0.02
_BACK_OFF_S = 1.0
_ADVANCE = """
    WITH moved AS (
        INSERT INTO orderlog.checkpoints AS c (projection, generation, partition, next_offset, term)
        SELECT %s, %s, * FROM unnest(%s::integer[], %s::bigint[], %s::bigint[])
        ON CONFLICT (projection, generation, partition) DO UPDATE
            SET next_offset = excluded.next_offset, term = excluded.term, updated_at = now()
            WHERE c.next_offset < excluded.next_offset
        RETURNING partition, next_offset
    )
    SELECT pg_notify(%s, format('%%s:%%s:%%s', %s::text, partition, next_offset - 1)) FROM moved
    WHERE EXISTS (SELECT FROM orderlog.generations WHERE generation = %s AND state = 'live')
"""
_ROUTE = """
    INSERT INTO {} AS r (partition, url, mandate) SELECT * FROM unnest(%s::smallint[], %s::text[], %s::bigint[])
    ON CONFLICT (partition) DO UPDATE SET url = excluded.url, mandate = excluded.mandate
        WHERE r.mandate < excluded.mandate
"""


class Announcer:
    """Says what `serves` is told, while it is entered. `url` is where this worker is reached."""

    def __init__(self, postgres_url: str, view: TableView, generation: Generation, url: str) -> None:
        self.url = url
        self._database = Database(postgres_url)
        self._generation = generation
        self._route = sql.SQL(_ROUTE).format(sql.Identifier(generation.schema, view.routing.name))
        self._news: dict[int, tuple[int, Place]] = {}
        self._told: dict[int, int] = {}
        self._any_news = asyncio.Event()

    def serves(self, partition: int, mandate: int, place: Place) -> None:
        """This worker, elected with `mandate`, serves the partition as of `place`."""
        self._news[partition] = (mandate, place)
        self._any_news.set()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._tell_always())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await self._database.close()

    async def _tell_always(self) -> None:
        while True:
            await self._any_news.wait()
            self._any_news.clear()
            news, self._news = self._news, {}
            try:
                async with self._database.connection() as connection:
                    await self._tell(connection, news)
                await asyncio.sleep(_PAUSE_S)
            except Error as error:
                log.warning("position_not_announced", reason=f"Postgres: {error}".strip())
                self._news = news | self._news
                self._any_news.set()
                await asyncio.sleep(_BACK_OFF_S)

    async def _tell(self, connection: Connection, news: dict[int, tuple[int, Place]]) -> None:
        routes = {
            partition: mandate for partition, (mandate, _) in news.items() if self._told.get(partition) != mandate
        }
        async with connection.transaction():
            if routes:
                await connection.execute(self._route, [list(routes), [self.url] * len(routes), list(routes.values())])
            of = [self._generation.projection, self._generation.number]
            places = [place for _, place in news.values()]
            columns = [list(news), [place.next_offset for place in places], [place.term for place in places]]
            await connection.execute(_ADVANCE, [*of, *columns, POSITIONS_CHANNEL, *of])
        self._told |= routes
