"""What Postgres knows of generations and of who builds them."""

import json
import os
import socket
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from psycopg.rows import dict_row

from projections.generations import Generation, State, new_generation
from projections.rebuild.standing import Standing
from projections.table_view import AnyView
from schemas.errors import BadInput, Explained
from service.database import Connection, connect

# Advisory locks: "rebd", of rebuilds, one for each projection; "redy", of workers, one for each generation.
_REBUILDS, _READY = 0x72656264, 0x72656479
_SELECT = """
    SELECT generation, projection, version, state, changed_at, builder, progress, cancelled, ends
    FROM orderlog.generations WHERE projection = %s ORDER BY generation
"""


class AlreadyRebuilding(Explained):
    """Another process rebuilds this projection; the message says which."""


class Cancelled(Explained):
    """The rebuild was given up, by somebody's wish."""


@dataclass(frozen=True, slots=True)
class Record:
    """A generation and what is known of it; `changed_at` is when its state last changed."""

    generation: Generation
    version: int
    state: State
    changed_at: datetime
    builder: str | None
    standing: Standing | None
    cancelled: bool
    ends: Mapping[int, int] | None


class Lease:
    """The right to rebuild `projection`, held by one process: Postgres gives it up however that process ends."""

    def __init__(self, postgres_url: str, projection: str) -> None:
        self._url = postgres_url
        self._projection = projection
        self._connection: Connection | None = None

    async def __aenter__(self) -> Self:
        await self.connection()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connection:
            await self._connection.close()

    async def connection(self) -> Connection:
        """A connection that holds it. Raises AlreadyRebuilding, psycopg.OperationalError."""
        if self._connection is None or self._connection.closed:
            self._connection = await connect(self._url)
            if not await try_lock(self._connection, self._projection):
                await self._connection.close()
                raise AlreadyRebuilding(await _who(self._url, self._projection))
        return self._connection


async def is_free(connection: Connection, projection: str) -> bool:
    """Whether nobody has the right to rebuild `projection`."""
    return not await _is_locked(connection, _REBUILDS, _key(projection) % 2**32)


async def stand_ready(connection: Connection, generation: Generation) -> None:
    """Say that a worker of the service is about to keep `generation`, for as long as the connection is open."""
    await connection.execute("SELECT pg_advisory_lock_shared(%s, %s)", [_READY, generation.number])


async def is_awaited(connection: Connection, generation: Generation) -> bool:
    """Whether a worker of the service stands ready to keep `generation`."""
    return await _is_locked(connection, _READY, generation.number)


async def try_lock(connection: Connection, projection: str) -> bool:
    """Whether the connection could have the right to rebuild `projection`; until it is closed."""
    key = _key(projection)
    row = await (await connection.execute("SELECT pg_try_advisory_lock(%s, %s)", [_REBUILDS, key])).fetchone()
    return bool(row and row[0])


async def _is_locked(connection: Connection, kind: int, which: int) -> bool:
    query = """
        SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = %s AND objid::bigint = %s
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    """
    return await (await connection.execute(query, [kind, which])).fetchone() is not None


def _key(projection: str) -> int:
    return zlib.crc32(projection.encode()) - 2**31


async def records(connection: Connection, projection: str) -> list[Record]:
    """All generations of a projection, oldest first."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SELECT, [projection])
        return [_record(**row) for row in await cursor.fetchall()]


async def newest(connection: Connection, projection: str, state: State) -> Record | None:
    """The newest generation of a projection in `state`."""
    return next((one for one in reversed(await records(connection, projection)) if one.state == state), None)


async def find(connection: Connection, generation: Generation) -> Record | None:
    """What is known of a generation, None when it was dropped."""
    found = await records(connection, generation.projection)
    return next((one for one in found if one.generation == generation), None)


async def of(connection: Connection, generation: Generation) -> Record:
    """What is known of a generation that was there a moment ago. Raises Cancelled when it was dropped."""
    record = await find(connection, generation)
    if record is None:
        raise Cancelled(f"generation {generation.number} of {generation.projection} was dropped")
    return record


async def set_state(connection: Connection, generation: Generation, state: State) -> None:
    """Move a generation to `state`, unless it is live: that only a swap changes."""
    update = """
        UPDATE orderlog.generations SET state = %s, cancelled = false, changed_at = now()
        WHERE generation = %s AND state <> 'live'
    """
    await connection.execute(update, [state, generation.number])


async def create(
    connection: Connection, view: AnyView, state: State, ends: Mapping[int, int] | None = None
) -> Generation:
    """A new generation of `view`. In a transaction."""
    generation = await new_generation(connection, view, state)
    update = "UPDATE orderlog.generations SET ends = %s WHERE generation = %s"
    await connection.execute(update, [json.dumps(ends) if ends is not None else None, generation.number])
    return generation


async def take_up(connection: Connection, generation: Generation) -> None:
    """Note that this process builds the generation."""
    update = "UPDATE orderlog.generations SET builder = %s WHERE generation = %s"
    await connection.execute(update, [builder_name(os.getpid()), generation.number])


def builder_name(process: int) -> str:
    """A process of this machine, for people."""
    return f"process {process} on {socket.gethostname()}"


async def tell(connection: Connection, standing: Standing) -> None:
    """Note how far a rebuild has come. Raises Cancelled when somebody wants it given up."""
    update = "UPDATE orderlog.generations SET progress = %s WHERE generation = %s RETURNING cancelled"
    row = await (await connection.execute(update, [json.dumps(standing.as_dict()), standing.generation])).fetchone()
    if row is None or row[0]:
        raise Cancelled(f"the rebuild of {standing.projection} was cancelled: generation {standing.generation} is gone")


async def ask_to_cancel(connection: Connection, projection: str) -> Record:
    """Have the rebuild of `projection` given up, by whoever is at it. Raises BadInput when there is none."""
    record = await newest(connection, projection, "building")
    if record is None:
        raise BadInput(f"nothing rebuilds {projection}")
    update = "UPDATE orderlog.generations SET cancelled = true WHERE generation = %s"
    await connection.execute(update, [record.generation.number])
    return record


async def _who(url: str, projection: str) -> str:
    async with await connect(url) as connection:
        record = await newest(connection, projection, "building")
    whom = (record.builder if record else None) or "another process"
    far = f", {record.standing.percent:.1f} %" if record and record.standing else ""
    return (
        f"{whom} is at it already{far}: watch it with orderlog rebuild {projection} --watch, "
        "or have it given up with --cancel"
    )


def _record(
    generation: int,
    projection: str,
    version: int,
    state: State,
    changed_at: datetime,
    builder: str | None,
    progress: Mapping[str, object] | None,
    cancelled: bool,
    ends: Mapping[str, int] | None,
) -> Record:
    return Record(
        generation=Generation(projection, generation),
        version=version,
        state=state,
        changed_at=changed_at,
        builder=builder,
        standing=Standing.from_dict(progress) if progress else None,
        cancelled=cancelled,
        ends={int(partition): offset for partition, offset in ends.items()} if ends is not None else None,
    )
