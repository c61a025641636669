"""A connection to Postgres that moves events: opened when it is needed, and again after it broke."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncConnection

Connection = AsyncConnection[Any]

# A worker that is stopped in mid-batch (SIGSTOP, a suspended machine) must not keep its row lock: Postgres ends
# the transaction, and the worker finds its connection closed when it wakes up.
_OPTIONS = "-c idle_in_transaction_session_timeout=5s -c timezone=UTC -c client_min_messages=warning"
_CONNECT_TIMEOUT_S = 5


async def connect(postgres_url: str) -> Connection:
    """A connection that commits each statement outside a transaction. Raises psycopg.OperationalError."""
    return await AsyncConnection.connect(
        postgres_url,
        autocommit=True,
        connect_timeout=_CONNECT_TIMEOUT_S,
        application_name="orderlog",
        options=_OPTIONS,
    )


class Database:
    """One connection, kept from batch to batch. For one task at a time."""

    def __init__(self, postgres_url: str) -> None:
        self._url = postgres_url
        self._connection: Connection | None = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """The connection; a new one if the last was closed, by either side. Raises psycopg.OperationalError."""
        if self._connection is None or self._connection.closed:
            self._connection = await connect(self._url)
        yield self._connection

    async def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            await self._connection.close()
