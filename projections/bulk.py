"""Rows in bulk: a statement or a COPY for a whole batch, so that its cost hardly grows with its size."""

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row
from sqlalchemy import Table

Connection = AsyncConnection[Any]


async def select_rows(
    connection: Connection, schema: str, table: Table, column: str, values: Sequence[Any]
) -> list[dict[str, Any]]:
    """The rows of `table` whose `column` is one of `values`."""
    query = sql.SQL("SELECT * FROM {} WHERE {} = ANY(%s)").format(_name(schema, table), sql.Identifier(column))
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, [list(values)])
        return await cursor.fetchall()


async def delete_rows(connection: Connection, schema: str, table: Table, column: str, values: Sequence[Any]) -> None:
    """Delete the rows of `table` whose `column` is one of `values`."""
    if values:
        query = sql.SQL("DELETE FROM {} WHERE {} = ANY(%s)").format(_name(schema, table), sql.Identifier(column))
        await connection.execute(query, [list(values)])


async def copy_rows(connection: Connection, schema: str, table: Table, rows: Sequence[Sequence[Any]]) -> None:
    """Add `rows`, tuples in the order of the table's columns."""
    if rows:
        await _copy(connection, _name(schema, table), rows)


async def upsert_rows(connection: Connection, schema: str, table: Table, rows: Sequence[Sequence[Any]]) -> None:
    """Add `rows`, or put them in place of those with the same primary key."""
    if not rows:
        return
    target, staging = _name(schema, table), sql.Identifier(f"staging_{schema}_{table.name}")
    await connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE IF NOT EXISTS {} (LIKE {}) ON COMMIT DELETE ROWS").format(staging, target)
    )
    await _copy(connection, staging, rows)
    keys = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.primary_key)
    changes = sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column.name))
        for column in table.columns
        if not column.primary_key
    )
    merge = sql.SQL("INSERT INTO {} SELECT * FROM {} ON CONFLICT ({}) DO UPDATE SET {}")
    await connection.execute(merge.format(target, staging, keys, changes))


async def _copy(connection: Connection, target: sql.Composable, rows: Sequence[Sequence[Any]]) -> None:
    async with connection.cursor() as cursor, cursor.copy(sql.SQL("COPY {} FROM STDIN").format(target)) as copy:
        for row in rows:
            await copy.write_row(row)


def _name(schema: str, table: Table) -> sql.Identifier:
    return sql.Identifier(schema, table.name)
