"""Rows in bulk: a statement or a COPY for a whole batch, so that its cost hardly grows with its size.

Many rows go in by COPY. Within a pipeline, which takes no COPY, they go in by INSERT, as one JSON text: for few rows
that is quicker, because nothing is waited for. JSON goes in as the bytes of its text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import msgspec
from psycopg import sql
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format, PipelineStatus
from psycopg.rows import dict_row
from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql

from service.database import Connection

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_JSONB_FORM = b"\x01"  # what a value of type jsonb begins with on the wire
_to_json = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class _Statements:
    """What is ever said about one table of one schema, written once."""

    columns: Sequence[str]
    types: Sequence[str]
    copy: bytes
    stage: bytes
    copy_staged: bytes
    merge_staged: bytes
    insert: bytes
    merge: bytes

    @classmethod
    def of(cls, schema: str, table: Table) -> Self:
        target, staging = _name(schema, table), sql.Identifier(f"staging_{schema}_{table.name}")
        columns = _written(table)
        names = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
        keys = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.primary_key)
        changes = sql.SQL(", ").join(_merged(table, column) for column in columns if not column.primary_key)
        copy = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)")
        stage = sql.SQL("CREATE TEMPORARY TABLE IF NOT EXISTS {} (LIKE {}) ON COMMIT DELETE ROWS")
        insert = sql.SQL("INSERT INTO {0} ({1}) SELECT {1} FROM {2}")
        given = sql.SQL("json_populate_recordset(NULL::{}, %s)").format(target)
        # Emptied at once: the next partition is applied in the same transaction.
        empty = sql.SQL("; DELETE FROM {}").format(staging)
        merging = sql.SQL(" ON CONFLICT ({}) DO UPDATE SET {}").format(keys, changes)
        return cls(
            columns=[column.name for column in columns],
            types=[str(column.type.compile(_DIALECT)).lower() for column in columns],
            copy=copy.format(target, names).as_bytes(None),
            stage=stage.format(staging, target).as_bytes(None),
            copy_staged=copy.format(staging, names).as_bytes(None),
            merge_staged=(insert.format(target, names, staging) + merging + empty).as_bytes(None),
            insert=insert.format(target, names, given).as_bytes(None),
            merge=(insert.format(target, names, given) + merging).as_bytes(None),
        )


async def select_rows(
    connection: Connection, schema: str, table: Table, column: str, values: Sequence[Any]
) -> list[dict[str, Any]]:
    """The rows of `table` whose `column` is one of `values`."""
    query = sql.SQL("SELECT * FROM {} WHERE {} = ANY(%s)").format(_name(schema, table), sql.Identifier(column))
    async with connection.cursor(row_factory=dict_row, binary=True) as cursor:
        await cursor.execute(query, [list(values)])
        return await cursor.fetchall()


async def delete_rows(connection: Connection, schema: str, table: Table, column: str, values: Sequence[Any]) -> None:
    """Delete the rows of `table` whose `column` is one of `values`."""
    if values:
        query = sql.SQL("DELETE FROM {} WHERE {} = ANY(%s)").format(_name(schema, table), sql.Identifier(column))
        await connection.execute(query, [list(values)])


async def copy_rows(connection: Connection, schema: str, table: Table, rows: Sequence[Sequence[Any]]) -> None:
    """Add `rows`, tuples in the order of the table's columns, without computed ones. None may be there yet."""
    if not rows:
        return
    statements = _statements(schema, table)
    if _in_pipeline(connection):
        await connection.execute(statements.insert, [_json(statements.columns, rows)])
    else:
        await _copy(connection, statements.copy, statements.types, rows)


async def upsert_rows(connection: Connection, schema: str, table: Table, rows: Sequence[Sequence[Any]]) -> None:
    """Add `rows`, or merge them into those with the same primary key.

    A column's `info={"merge": …}` says how: "sum", "greatest", or, without one, the new value replaces the old.
    """
    if not rows:
        return
    statements = _statements(schema, table)
    if _in_pipeline(connection):
        await connection.execute(statements.merge, [_json(statements.columns, rows)])
    else:
        await connection.execute(statements.stage)
        await _copy(connection, statements.copy_staged, statements.types, rows)
        await connection.execute(statements.merge_staged)


def _in_pipeline(connection: Connection) -> bool:
    return connection.pgconn.pipeline_status != PipelineStatus.OFF


class _JsonText(Dumper):
    format, oid = Format.BINARY, 3802  # jsonb

    def dump(self, obj: Any) -> Buffer:
        """The text as it is; Postgres refuses what is not JSON."""
        return _JSONB_FORM + obj  # type: ignore[no-any-return]


async def _copy(connection: Connection, statement: bytes, types: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    async with connection.cursor() as cursor:
        cursor.adapters.register_dumper(bytes, _JsonText)
        async with cursor.copy(statement) as copy:
            copy.set_types(types)
            for row in rows:
                await copy.write_row(row)


def _json(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """`rows` as a JSON array of objects."""
    return _to_json([dict(zip(columns, map(_nested, row), strict=True)) for row in rows]).decode()


def _nested(value: Any) -> Any:
    return msgspec.Raw(value) if type(value) is bytes else value


@lru_cache
def _statements(schema: str, table: Table) -> _Statements:
    return _Statements.of(schema, table)


def _written(table: Table) -> list[Column[Any]]:
    return [column for column in table.columns if column.computed is None]


def _merged(table: Table, column: Column[Any]) -> sql.Composable:
    name, old = sql.Identifier(column.name), sql.Identifier(table.name, column.name)
    match column.info.get("merge"):
        case "sum":
            return sql.SQL("{0} = {1} + excluded.{0}").format(name, old)
        case "greatest":
            return sql.SQL("{0} = greatest({1}, excluded.{0})").format(name, old)
        case _:
            return sql.SQL("{0} = excluded.{0}").format(name)


def _name(schema: str, table: Table) -> sql.Identifier:
    return sql.Identifier(schema, table.name)
