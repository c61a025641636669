"""What Postgres says of a view's live generation at one moment, and its rows as they are at that moment."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from psycopg import AsyncConnection
from psycopg.errors import UndefinedTable

from eventlog.identity import LogIdentity
from projections.catalogue import VIEWS
from projections.generations import NeedsRebuild
from projections.log_identity import WrongLog
from projections.verifying.report import Source
from schemas.errors import Explained
from service.database import Connection

_CONNECT_TIMEOUT_S = 5
# It is idle while the log is folded, however long that takes.
_OPTIONS = (
    "-c timezone=UTC -c default_transaction_isolation=repeatable\\ read -c default_transaction_read_only=on "
    "-c idle_in_transaction_session_timeout=0"
)
_GENERATION = "SELECT generation, version FROM orderlog.generations WHERE projection = %s AND state = 'live'"
_POSITIONS = "SELECT partition, next_offset FROM orderlog.checkpoints WHERE projection = %s AND generation = %s"
_ASIDE = """
    SELECT partition, "offset", state <> 'discarded', coalesce(order_id::text, "offset"::text)
    FROM orderlog.parked_events WHERE projection = %s AND generation = %s AND state <> 'redriven'
"""


class NotMade(Explained):
    """There is no such view in the database yet."""


@dataclass(frozen=True, slots=True)
class Live:
    """A view's live generation: {partition: next offset}, offsets whose events are not in it, orders that wait."""

    generation: int
    positions: dict[int, int]
    aside: dict[int, set[int]]
    parked: dict[int, int]

    @property
    def schema(self) -> str:
        """Where its tables are."""
        return f"views_g{self.generation}"


@asynccontextmanager
async def snapshot(source: Source, view: str) -> AsyncIterator[tuple[Connection, Live]]:
    """A transaction that sees one moment, with what was live then.

    It stays open as long as the verification takes, so no statement waits, and none writes. Raises NotMade,
    NeedsRebuild, WrongLog, psycopg.OperationalError.
    """
    async with (
        await AsyncConnection.connect(
            source.settings.postgres_url,
            connect_timeout=_CONNECT_TIMEOUT_S,
            application_name="orderlog-verify",
            options=_OPTIONS,
        ) as connection,
        connection.transaction(),
    ):
        try:
            await _require_log(connection, source.identity)
            live = await _live(connection, view)
        except UndefinedTable as error:
            raise NotMade("the database lacks tables of orderlog; run: orderlog migrate") from error
        yield connection, live


async def _live(connection: Connection, view: str) -> Live:
    found = await (await connection.execute(_GENERATION, [view])).fetchone()
    if found is None:
        raise NotMade(f"there is no view {view} yet: its worker makes it; run: orderlog project {view}")
    generation, version = found
    if version != VIEWS[view].version:
        made_by = f"version {version} of its code, this is {VIEWS[view].version}"
        raise NeedsRebuild(f"the live generation of {view} was made by {made_by}: verify it with that one")
    positions = dict(await (await connection.execute(_POSITIONS, [view, generation])).fetchall())
    aside: dict[int, set[int]] = {}
    waiting: dict[int, set[str]] = {}
    for partition, offset, waits, what in await (await connection.execute(_ASIDE, [view, generation])).fetchall():
        aside.setdefault(partition, set()).add(offset)
        if waits:
            waiting.setdefault(partition, set()).add(what)
    return Live(generation, positions, aside, {partition: len(held) for partition, held in waiting.items()})


async def _require_log(connection: Connection, log: LogIdentity) -> None:
    rows = await (await connection.execute("SELECT topic, cluster_id, topic_id FROM orderlog.logs")).fetchall()
    for other in (LogIdentity(*row) for row in rows):
        if other != log:
            raise WrongLog(f"the database's positions are of {other}, not of {log}")
