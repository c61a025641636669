"""What a generation leaves when it is no longer wanted: its schema, consumer group, changelog topics, folders.

Postgres forgets it last. So what is interrupted is done again, by whoever cleans next.
"""

import shutil
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from aiokafka.errors import KafkaError, NonEmptyGroup
from psycopg import sql
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from eventlog import group_admin, topic_admin
from eventlog.settings import Settings
from projections.faust_names import building_folders, changelog_of, folders_of, generations_in, group_of, table_of
from projections.generations import Generation
from projections.log_identity import known_log
from projections.rebuild.records import Record, records, try_lock
from projections.table_view import AnyView, TableView
from service.database import Connection

log = structlog.get_logger()

_GROUP_EMPTY_WITHIN_S = 15.0
_EVERY_S = 0.2


async def drop(settings: Settings, connection: Connection, view: AnyView, record: Record) -> None:
    """Remove everything of a generation that no process works on any more. Raises KafkaError, psycopg.Error."""
    generation = record.generation
    # Of a worker that was killed the group knows until its session is over.
    leaving = AsyncRetrying(
        retry=retry_if_exception_type(NonEmptyGroup),
        wait=wait_fixed(_EVERY_S),
        stop=stop_after_delay(_GROUP_EMPTY_WITHIN_S),
        reraise=True,
    )
    await leaving(group_admin.delete, settings, [group_of(settings, generation)])
    await forget_changelog(settings, connection, view, generation, record.version)
    shutil.rmtree(building_folders(settings, generation), ignore_errors=True)
    async with connection.transaction():
        schema = sql.Identifier(generation.schema)
        await connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(schema))
        await connection.execute("DELETE FROM orderlog.generations WHERE generation = %s", [generation.number])
    log.info("generation_dropped", projection=generation.projection, generation=generation.number)


async def forget_changelog(
    settings: Settings, connection: Connection, view: AnyView, generation: Generation, version: int
) -> None:
    """Remove the changelog topic of a generation of a view in a table, if there is one."""
    identity = await known_log(connection)
    if isinstance(view, TableView) and identity:
        table = table_of(view.name, version, identity)
        await topic_admin.delete(settings, [changelog_of(settings, generation, table)])


async def drop_old(settings: Settings, connection: Connection, view: AnyView) -> None:
    """Drop what was replaced: all but the last of it, and that one when its time is over."""
    for record in old_ones(await records(connection, view.name), settings.keep_retired_s):
        try:
            await drop(settings, connection, view, record)
        except KafkaError as error:  # a worker of it is still leaving, or Kafka is away: next time
            log.warning("generation_not_dropped", generation=record.generation.number, reason=str(error))


def old_ones(found: Iterable[Record], keep_s: float, now: datetime | None = None) -> list[Record]:
    """Those of `found`, oldest first, that nobody can want any more. Pure but for the default of `now`."""
    retired = sorted((one for one in found if one.state == "retired"), key=lambda one: one.changed_at)
    limit = (now or datetime.now(UTC)) - timedelta(seconds=keep_s)
    return [one for one in retired if one is not retired[-1] or one.changed_at < limit]


async def clean(settings: Settings, connection: Connection, view: AnyView, folder: Path) -> None:
    """What a worker does from time to time: drop what is old, unless a rebuild runs; empty its own `folder` of it."""
    if await try_lock(connection, view.name):
        await drop_old(settings, connection, view)
    known = {one.generation.number for one in await records(connection, view.name)}
    folders = folders_of(settings, view.name)
    for left in (found for number, found in generations_in(folder) if number not in known):
        shutil.rmtree(left, ignore_errors=True)
    for left in folders.glob("building-*"):
        if left.name.rpartition("-")[2] not in map(str, known):
            shutil.rmtree(left, ignore_errors=True)
