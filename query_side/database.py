"""The query API's connections to Postgres, and statements of SQLAlchemy's on them.

Statements are built with SQLAlchemy Core and run by psycopg itself: SQLAlchemy's own asyncio engine costs
more than the rest of a request.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from psycopg import AsyncConnection, InterfaceError, OperationalError
from psycopg.errors import InvalidSchemaName, UndefinedTable
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import Select
from sqlalchemy.dialects.postgresql.psycopg import dialect

_DIALECT = dialect()  # type: ignore[no-untyped-call]
_CONNECTIONS = 10
_PATIENCE_S = 3.0

Connection = AsyncConnection[DictRow]
Row = Mapping[str, Any]


class Unavailable(Exception):
    """Postgres does not answer, or has no views yet; the message is for the client."""


@dataclass(frozen=True, slots=True)
class Query:
    """A statement as psycopg takes it; `values` are the ones that are not given when it is run."""

    text: str
    values: Row

    @classmethod
    def of(cls, statement: Select[Any]) -> Self:
        """Compile `statement`."""
        compiled = statement.compile(dialect=_DIALECT)
        return cls(str(compiled), compiled.params)


class Database:
    """A pool of connections; entered and left with the application."""

    def __init__(self, postgres_url: str) -> None:
        self.url = postgres_url
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            postgres_url,
            connection_class=AsyncConnection[DictRow],
            kwargs=connection_options(),
            min_size=1,
            max_size=_CONNECTIONS,
            timeout=_PATIENCE_S,
            # Its attempts come at growing intervals until then: short, so that it is quick once Postgres is back.
            reconnect_timeout=_PATIENCE_S,
            open=False,
        )

    async def __aenter__(self) -> Self:
        await self._pool.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    async def rows(self, query: Query, **values: Any) -> list[Row]:
        """The rows of `query`. Raises Unavailable."""
        try:
            try:
                return await self._rows(query, values)
            except (OperationalError, InterfaceError):
                # Postgres was restarted: each idle connection is broken, and reading again does no harm.
                await self._pool.check()
                return await self._rows(query, values)
        except (UndefinedTable, InvalidSchemaName) as error:
            raise Unavailable("the views were not made yet; their workers make them when they start") from error
        except (OperationalError, InterfaceError) as error:  # PoolTimeout too
            raise Unavailable("the views' database does not answer") from error

    async def _rows(self, query: Query, values: Mapping[str, Any]) -> list[Row]:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(query.text.encode(), {**query.values, **values})
            return list(await cursor.fetchall())


def connection_options() -> dict[str, Any]:
    """How every connection of the query API is made."""
    return {
        "autocommit": True,
        "row_factory": dict_row,
        "connect_timeout": 5,
        "application_name": "orderlog-query",
        "options": "-c timezone=UTC -c default_transaction_read_only=on",
    }
