"""What people do to the stock and ask of it, in Postgres: receive, adjust, look up."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

from psycopg import AsyncConnection, InterfaceError, OperationalError
from psycopg.errors import InvalidSchemaName, UndefinedTable
from psycopg_pool import AsyncConnectionPool

from service.database import Connection
from subscribers.inventory.level import Level

_CONNECTIONS = 4
_PATIENCE_S = 3.0
_OPTIONS = "-c timezone=UTC -c statement_timeout=5s -c idle_in_transaction_session_timeout=5s"

_COLUMNS = "received, available, reserved, shipped, unstocked"
_ONE = f"SELECT {_COLUMNS} FROM inventory.levels WHERE sku = %s"
# No character of a sku sorts behind "~".
_PAGE = f"""
    SELECT sku, {_COLUMNS} FROM inventory.levels
    WHERE sku > %(after)s AND sku >= %(prefix)s AND sku < %(prefix)s::text || '~' ORDER BY sku LIMIT %(limit)s
"""
_MAKE = "INSERT INTO inventory.levels (sku) VALUES (%s) ON CONFLICT DO NOTHING"
_KNOWN = f"SELECT kind, quantity, reason, {_COLUMNS} FROM inventory.movements WHERE sku = %s AND idempotency_key = %s"
_SET = "UPDATE inventory.levels SET received = %s, available = %s WHERE sku = %s"
_NOTE = f"""
    INSERT INTO inventory.movements (sku, idempotency_key, kind, quantity, reason, {_COLUMNS})
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


class Unavailable(Exception):
    """Postgres does not answer, or lacks the tables; the message is for the client."""


class Movement(NamedTuple):
    """`quantity` pieces came in, or are found to be missing when it is negative; `reason` is empty for a receipt."""

    kind: Literal["receipt", "adjustment"]
    quantity: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class UnknownSku:
    """Nothing of this sku was ever received."""


@dataclass(frozen=True, slots=True)
class TooFew:
    """More pieces would be missing than are `available`."""

    available: int


@dataclass(frozen=True, slots=True)
class KeyReused:
    """The idempotency key belongs to another movement of this sku."""


Moved = Level | UnknownSku | TooFew | KeyReused


class StockDatabase:
    """A pool of connections; entered and left with the application, whether or not Postgres answers by then."""

    def __init__(self, postgres_url: str) -> None:
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            postgres_url,
            connection_class=AsyncConnection[Any],
            kwargs={
                "autocommit": True,
                "connect_timeout": 5,
                "application_name": "orderlog-inventory",
                "options": _OPTIONS,
            },
            min_size=1,
            max_size=_CONNECTIONS,
            timeout=_PATIENCE_S,
            reconnect_timeout=_PATIENCE_S,
            # A connection that broke while it was idle is found out before somebody gets it: a receipt must not be
            # tried twice.
            check=AsyncConnectionPool.check_connection,
            open=False,
        )

    async def __aenter__(self) -> Self:
        await self._pool.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    async def level(self, sku: str) -> Level | None:
        """The level of `sku`; None when nothing of it was ever received. Raises Unavailable."""
        async with self._connection() as connection:
            row = await (await connection.execute(_ONE.encode(), [sku])).fetchone()
        return Level(*row) if row else None

    async def page(self, prefix: str, after: str, limit: int) -> Sequence[tuple[str, Level]]:
        """At most `limit` skus behind `after` that begin with `prefix`, sorted by bytes. Raises Unavailable."""
        values = {"prefix": prefix, "after": after, "limit": limit}
        async with self._connection() as connection:
            rows = await (await connection.execute(_PAGE.encode(), values)).fetchall()
        return [(sku, Level(*level)) for sku, *level in rows]

    async def move(self, sku: str, movement: Movement, key: str | None) -> Moved:
        """The level after `movement`, or why it was not done. The same `key` again: the same level, and no more.

        Raises Unavailable; it may have been done then.
        """
        async with self._connection() as connection, connection.transaction():
            return await _move(connection, sku, movement, key)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        try:
            async with self._pool.connection() as connection:
                yield connection
        except (UndefinedTable, InvalidSchemaName) as error:
            raise Unavailable("the stock's tables are not there; run: orderlog migrate") from error
        except (OperationalError, InterfaceError) as error:  # PoolTimeout too
            raise Unavailable("the stock's database does not answer") from error


async def _move(connection: Connection, sku: str, movement: Movement, key: str | None) -> Moved:
    if movement.kind == "receipt":
        await connection.execute(_MAKE, [sku])
    # Its lock also keeps others with the same key waiting until this one is done.
    row = await (await connection.execute(f"{_ONE} FOR UPDATE".encode(), [sku])).fetchone()
    if row is None:
        return UnknownSku()
    if key and (known := await (await connection.execute(_KNOWN.encode(), [sku, key])).fetchone()):
        kind, quantity, reason, *level = known
        return Level(*level) if movement == (kind, quantity, reason) else KeyReused()
    level = Level(*row)
    if level.available + movement.quantity < 0:
        return TooFew(level.available)
    level = level.receive(movement.quantity)
    await connection.execute(_SET, [level.received, level.available, sku])
    await connection.execute(_NOTE.encode(), [sku, key, *movement, *level])
    return level
