"""Generations: each is a view's tables in a Postgres schema of its own, made by one version of its code.

Readers see the live one by names that never change, as SQL views in the schema `views`.
"""

from dataclasses import dataclass

from psycopg import sql
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from projections.bulk import Connection
from projections.table_view import TableView
from projections.view import View
from schemas.errors import Explained

_LOCK = 0x67656E65726174  # "generat", so that two workers that start at once take turns
PUBLIC_SCHEMA = "views"


class NeedsRebuild(Explained):
    """The live generation was made by another version of the view's code than this one."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One making of a projection's view: its number, which no other generation of any projection has."""

    projection: str
    number: int

    @property
    def schema(self) -> str:
        """The Postgres schema of its tables."""
        return f"views_g{self.number}"


async def live_generation(connection: Connection, view: View | TableView) -> Generation:
    """The view's live generation; the first is made here. Raises NeedsRebuild at one of another version."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        found = await (
            await connection.execute(
                "SELECT generation, version FROM orderlog.generations WHERE projection = %s AND state = 'live'",
                [view.name],
            )
        ).fetchone()
        if found is None:
            return await _first(connection, view)
        number, version = found
        if version != view.version:
            raise NeedsRebuild(
                f"the live generation of {view.name} was made by version {version} of its code, this is {view.version}"
            )
        return Generation(view.name, number)


async def _first(connection: Connection, view: View | TableView) -> Generation:
    insert = (
        "INSERT INTO orderlog.generations (projection, version, state) VALUES (%s, %s, 'live') RETURNING generation"
    )
    row = await (await connection.execute(insert, [view.name, view.version])).fetchone()
    assert row is not None  # INSERT … RETURNING answers with the row
    generation = Generation(view.name, row[0])
    await _create_tables(connection, view, generation)
    await _publish(connection, view, generation)
    return generation


async def _create_tables(connection: Connection, view: View | TableView, generation: Generation) -> None:
    await connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(generation.schema)))
    await connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(sql.Identifier(generation.schema)))
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for table in view.metadata.sorted_tables:
        await connection.execute(str(CreateTable(table).compile(dialect=dialect)).encode())
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            await connection.execute(str(CreateIndex(index).compile(dialect=dialect)).encode())


async def _publish(connection: Connection, view: View | TableView, generation: Generation) -> None:
    await connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(PUBLIC_SCHEMA)))
    for table in view.metadata.sorted_tables:
        name = sql.Identifier(PUBLIC_SCHEMA, table.name)
        source = sql.Identifier(generation.schema, table.name)
        await connection.execute(sql.SQL("CREATE OR REPLACE VIEW {} AS SELECT * FROM {}").format(name, source))
