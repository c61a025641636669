"""The query API's connections to Postgres."""

from collections.abc import Mapping
from typing import Any, Self

from psycopg import AsyncConnection, InterfaceError, OperationalError
from psycopg.errors import InvalidSchemaName, QueryCanceled, UndefinedColumn, UndefinedTable
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

_CONNECTIONS = 10
_PATIENCE_S = 3.0
_STATEMENT_S = 10
# Rows are fetched by index, mostly from memory; workers of a parallel plan start in the time that a page takes.
_OPTIONS = {
    "timezone": "UTC",
    "default_transaction_read_only": "on",
    "statement_timeout": f"{_STATEMENT_S}s",
    "random_page_cost": "1.1",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}

Connection = AsyncConnection[DictRow]
Row = Mapping[str, Any]


class Unavailable(Exception):
    """Postgres does not answer, or has no views yet; the message is for the client."""


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

    def connections(self) -> Mapping[str, int]:
        """How many connections there are, are idle, and are waited for, under psycopg_pool's names."""
        return self._pool.get_stats()

    async def rows(self, statement: str, values: Row, *, prepare: bool | None = None) -> list[Row]:
        """The rows of `statement`. Raises Unavailable.

        A statement that is run often is planned once, for any values; `prepare=False` plans it for these each time.
        """
        try:
            try:
                return await self._rows(statement, values, prepare)
            except QueryCanceled:
                raise
            except (OperationalError, InterfaceError):
                # Postgres was restarted: each idle connection is broken, and reading again does no harm.
                await self._pool.check()
                return await self._rows(statement, values, prepare)
        except QueryCanceled as error:
            raise Unavailable(f"the query took longer than {_STATEMENT_S} s; narrow it") from error
        except UndefinedColumn as error:
            raise Unavailable("the view was made by another version of orderlog: rebuild it") from error
        except (UndefinedTable, InvalidSchemaName) as error:
            raise Unavailable("the views were not made yet; their workers make them when they start") from error
        except (OperationalError, InterfaceError) as error:  # PoolTimeout too
            raise Unavailable("the views' database does not answer") from error

    async def _rows(self, statement: str, values: Row, prepare: bool | None) -> list[Row]:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(statement.encode(), values, prepare=prepare)
            return list(await cursor.fetchall())


def connection_options() -> dict[str, Any]:
    """How every connection of the query API is made."""
    return {
        "autocommit": True,
        "row_factory": dict_row,
        "connect_timeout": 5,
        "application_name": "orderlog-query",
        "options": " ".join(f"-c {name}={value}" for name, value in _OPTIONS.items()),
    }
