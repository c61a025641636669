"""A connection to Postgres that moves events, opened when needed and again after it broke; records as columns."""

import traceback
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncConnection

from eventlog.recorded import Header

Connection = AsyncConnection[Any]

# A worker that is stopped in mid-batch (SIGSTOP, a suspended machine) must not keep its row lock: Postgres ends
# the transaction, and the worker finds its connection closed when it wakes up.
_OPTIONS = "-c idle_in_transaction_session_timeout=5s -c timezone=UTC -c client_min_messages=warning"
_CONNECT_TIMEOUT_S = 5
_MOST_TRACEBACK = 20_000  # characters


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


def storable(text: str) -> str:
    """`text` as Postgres can hold it: it takes neither NUL nor half a surrogate pair."""
    return text.encode(errors="backslashreplace").decode().replace("\x00", "\\x00")


def storable_traceback(error: Exception) -> str:
    """Where `error` was raised: the end of its traceback, as Postgres can hold it."""
    return storable("".join(traceback.format_exception(error)))[-_MOST_TRACEBACK:]


def to_array(headers: Sequence[Header]) -> list[bytes | None]:
    """Headers as the column `headers` has them."""
    return [part for name, value in headers for part in (name.encode(), value)]


def from_array(array: Sequence[bytes]) -> Iterator[Header]:
    """The inverse of `to_array`."""
    return ((name.decode(), value) for name, value in zip(array[::2], array[1::2], strict=True))
