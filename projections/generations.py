"""Generations: each is one making of a view, by one version of its code, in a Postgres schema of its own.

Readers see the live one by names that never change, as SQL views in the schema `views`. A rebuild makes the next
one beside it and has the names point there: docs/adr/0023-rebuild.md.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from psycopg import sql
from psycopg.errors import InvalidTableDefinition
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from projections.table_view import AnyView
from schemas.errors import Explained
from service.database import Connection

_LOCK = 0x67656E65726174  # "generat", so that two workers that start at once take turns
PUBLIC_SCHEMA = "views"
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]

State = Literal["building", "live", "retired", "aside"]
"""Being made, read by all, replaced and kept for a while, made for looking at the past."""


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


Prepare = Callable[[Generation], Awaitable[None]]
"""What is to be made ready for a generation outside of Postgres before anybody knows of it."""


async def nothing_else(_: Generation) -> None:
    """Prepare nothing."""


async def live_generation(connection: Connection, view: AnyView, prepare: Prepare = nothing_else) -> Generation:
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
            first = await new_generation(connection, view, "live")
            await prepare(first)
            await create_indexes(connection, view, first)
            await publish(connection, view, first)
            return first
        number, version = found
        if version != view.version:
            raise NeedsRebuild(needs_rebuild(view, version))
        return Generation(view.name, number)


async def live_versions(connection: Connection) -> dict[str, int]:
    """{projection: version of the code that made its live generation}."""
    query = "SELECT projection, version FROM orderlog.generations WHERE state = 'live'"
    return dict(await (await connection.execute(query)).fetchall())


def needs_rebuild(view: AnyView, version: int) -> str:
    """Why the live generation, made by `version` of the view's code, is not this code's to keep, and what to do."""
    made = f"the live generation of {view.name} was made by version {version} of its code, this is {view.version}"
    return f"{made}; run: orderlog rebuild {view.name}"


async def new_generation(connection: Connection, view: AnyView, state: State) -> Generation:
    """A generation with its tables, empty and without indexes but for their keys. To be called in a transaction."""
    insert = "INSERT INTO orderlog.generations (projection, version, state) VALUES (%s, %s, %s) RETURNING generation"
    row = await (await connection.execute(insert, [view.name, view.version, state])).fetchone()
    assert row is not None  # INSERT … RETURNING answers with the row
    generation = Generation(view.name, row[0])
    # What a database that was lost has left in Kafka may have had this number too; in Postgres nothing has.
    await connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(generation.schema)))
    await _look_in(connection, generation)
    for table in view.metadata.sorted_tables:
        await connection.execute(str(CreateTable(table).compile(dialect=_DIALECT)).encode())
    return generation


async def create_indexes(connection: Connection, view: AnyView, generation: Generation) -> None:
    """The indexes that the generation's tables lack. A table's rows cannot change while it gets one."""
    for table in view.metadata.sorted_tables:
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            # One at a time: who holds one table and waits for another may wait for a worker that waits for the first.
            async with connection.transaction():
                await connection.execute("SET LOCAL maintenance_work_mem = '128MB'")
                await _look_in(connection, generation)
                create = CreateIndex(index, if_not_exists=True)
                await connection.execute(str(create.compile(dialect=_DIALECT)).encode())


async def publish(connection: Connection, view: AnyView, generation: Generation) -> None:
    """Have the names that readers use mean this generation. To be called in a transaction."""
    await connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(PUBLIC_SCHEMA)))
    for table in view.metadata.sorted_tables:
        name = sql.Identifier(PUBLIC_SCHEMA, table.name)
        source = sql.Identifier(generation.schema, table.name)
        try:
            async with connection.transaction():
                await connection.execute(sql.SQL("CREATE OR REPLACE VIEW {} AS SELECT * FROM {}").format(name, source))
        except InvalidTableDefinition:  # its columns are others than before, so the name has to be made anew
            await connection.execute(sql.SQL("DROP VIEW {}").format(name))
            await connection.execute(sql.SQL("CREATE VIEW {} AS SELECT * FROM {}").format(name, source))


async def _look_in(connection: Connection, generation: Generation) -> None:
    await connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(sql.Identifier(generation.schema)))
