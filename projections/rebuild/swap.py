"""The swap: one transaction in which the names that readers use come to mean the next generation.

Nobody goes back in time by it. The old generation's positions are held, so that its workers cannot show more, and
the new one has to have passed each of them. What is held is held for a bounded time; then all is let go, and the
swap is tried again later.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from psycopg.errors import DeadlockDetected, LockNotAvailable

from projections.checkpoints import announce, read_positions
from projections.generations import Generation, publish
from projections.parking import count_held
from projections.rebuild.records import Cancelled
from projections.table_view import AnyView
from schemas.errors import Explained
from service.database import Connection

_LEVEL_WITHIN_S = 2.0
_EVERY_S = 0.01
# Readers wait behind a lock that is waited for. Less than a second, after which Postgres looks for deadlocks and
# may end a reader's statement instead of this one.
_NAMES_WITHIN_S = 0.2
_SET_STATE = "UPDATE orderlog.generations SET state = %s, changed_at = now() WHERE generation = %s"


class NotYet(Exception):
    """The swap was not possible at this moment; nothing has changed."""


class WouldPark(Explained):
    """More orders are parked in the new generation than in the one it would replace."""


@dataclass(frozen=True, slots=True)
class Swapped:
    """A swap: the generation that was replaced, how long its workers were held up by it, and readers, in seconds."""

    old: Generation | None
    workers_waited_s: float
    readers_waited_s: float


async def swap(connection: Connection, view: AnyView, new: Generation, *, accept_parked: bool = False) -> Swapped:
    """Make `new` the live generation of `view`. Raises NotYet, WouldPark, Cancelled."""
    try:
        async with connection.transaction():
            await _wait_at_most(connection, _LEVEL_WITHIN_S)
            old = await _lock(connection, view.name, new)
            began = time.monotonic()
            if old:
                await _until_level(connection, old, new)
            if old and not accept_parked:
                await _refuse_parked(connection, old, new)
            names_from = time.monotonic()
            await _wait_at_most(connection, _NAMES_WITHIN_S)
            await publish(connection, view, new)
            if old:
                await connection.execute(_SET_STATE, ["retired", old.number])
            await connection.execute(_SET_STATE, ["live", new.number])
            for partition in await read_positions(connection, new):
                await announce(connection, new, partition)
    except (LockNotAvailable, DeadlockDetected) as error:
        raise NotYet("others hold what the swap needs") from error
    now = time.monotonic()
    return Swapped(old, now - began, now - names_from)


async def _wait_at_most(connection: Connection, seconds: float) -> None:
    """For each lock from here on."""
    await connection.execute(f"SET LOCAL lock_timeout = {int(seconds * 1000)}".encode())


async def _lock(connection: Connection, projection: str, new: Generation) -> Generation | None:
    """The live generation, if there is one; neither it nor `new` is changed by others until the transaction ends."""
    select = """
        SELECT generation, state, cancelled FROM orderlog.generations
        WHERE projection = %s AND (state = 'live' OR generation = %s) ORDER BY generation FOR NO KEY UPDATE
    """
    rows = await (await connection.execute(select, [projection, new.number])).fetchall()
    if not any(number == new.number and state == "building" and not gone for number, state, gone in rows):
        raise Cancelled(f"the rebuild of {projection} was cancelled: generation {new.number} is gone")
    return next((Generation(projection, number) for number, state, _ in rows if state == "live"), None)


async def _refuse_parked(connection: Connection, old: Generation, new: Generation) -> None:
    parked, before = await count_held(connection, new), await count_held(connection, old)
    if parked > before:
        raise WouldPark(
            f"{parked} orders are parked in generation {new.number}, and {before} in the live one: look at them with "
            "orderlog dlq list --all-generations, mend the cause, redrive, and run this again; or say --accept-parked"
        )


async def _until_level(connection: Connection, old: Generation, new: Generation) -> None:
    """Hold the positions of `old` until `new` has passed them. Raises NotYet."""
    hold = "SELECT 1 FROM orderlog.checkpoints WHERE projection = %s AND generation = %s ORDER BY partition FOR UPDATE"
    await connection.execute(hold, [old.projection, old.number])
    reached = await read_positions(connection, old)
    deadline = time.monotonic() + _LEVEL_WITHIN_S
    while not _is_past(await read_positions(connection, new), reached):
        if time.monotonic() > deadline:
            raise NotYet("the new generation is not level with the live one")
        await asyncio.sleep(_EVERY_S)


def _is_past(positions: Mapping[int, int], reached: Mapping[int, int]) -> bool:
    return all(positions.get(partition, 0) >= offset for partition, offset in reached.items())
