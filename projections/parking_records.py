"""What is parked, as rows to look at and to work on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.errors import UndefinedTable
from psycopg.rows import dict_row

from eventlog.positions import Position
from eventlog.recorded import Header
from projections.parking import STILL_PARKED, from_array
from schemas.errors import BadInput, Explained
from service.database import Connection


class NotParked(BadInput):
    """Nothing of what was asked for is parked."""


@dataclass(frozen=True, slots=True)
class Held:
    """What waits together: an order's parked events in one generation of a view, or one record that names no order."""

    projection: str
    generation: int
    partition: int
    order_id: UUID | None
    offset: int
    """The first one's."""

    def __str__(self) -> str:
        return f"order {self.order_id}" if self.order_id else f"the record at {self.partition}:{self.offset}"


@dataclass
class ParkedEvent:
    """A parked record; `timestamp` is the broker's, in milliseconds. It reads like a consumer's record."""

    projection: str
    generation: int
    partition: int
    offset: int
    order_id: UUID | None
    timestamp: int
    key: bytes | None
    value: bytes
    headers: Iterable[Header]
    state: str
    reason: str
    traceback: str | None
    attempts: int
    parked_at: datetime
    tried_at: datetime | None
    resolved_at: datetime | None
    announced_at: datetime | None

    @property
    def position(self) -> Position:
        """Where in the log it is."""
        return Position(self.partition, self.offset)

    @property
    def held(self) -> Held:
        """What it waits with."""
        return Held(self.projection, self.generation, self.partition, self.order_id, self.offset)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which parked events: of one projection, of one order, the one at a position; without any of them, all.

    Only those of some `partitions`, if there are any; of one `generation`, or of those that are `live`.
    """

    projection: str | None = None
    order_id: UUID | None = None
    position: Position | None = None
    partitions: tuple[int, ...] = ()
    generation: int | None = None
    live: bool = False

    def __str__(self) -> str:
        of = f" of {self.projection}" if self.projection else ""
        if self.position:
            return f"the record at {self.position}{of}"
        return f"order {self.order_id}{of}" if self.order_id else f"anything{of}"


def select(
    projection: str | None = None, position: str | None = None, order_id: UUID | None = None, everything: bool = False
) -> Selection:
    """What somebody asked for: by exactly one of `position`, `order_id`, `everything`. Raises BadInput."""
    if (position is not None) + (order_id is not None) + everything != 1:
        raise BadInput("say which parked events: one position (partition:offset), one order, or all")
    try:
        return Selection(projection, order_id, Position.parse(position) if position is not None else None)
    except ValueError as error:
        raise BadInput(str(error)) from error


async def select_parked(connection: Connection, selection: Selection) -> list[ParkedEvent]:
    """What is still parked of `selection`, in log order."""
    position = selection.position
    given = {
        "projection": selection.projection,
        "order_id": selection.order_id,
        "partition": position.partition if position else None,
        "offset": position.offset if position else None,
        "generation": selection.generation,
    }
    wanted = {name: value for name, value in given.items() if value is not None}
    conditions: list[sql.SQL | sql.Composed] = [sql.SQL(STILL_PARKED)]
    conditions += [sql.SQL("{} = %({})s").format(sql.Identifier(name), sql.SQL(name)) for name in wanted]
    if selection.partitions:
        conditions.append(sql.SQL("partition = ANY(%(partitions)s)"))
    if selection.live:
        conditions.append(sql.SQL("generation IN (SELECT generation FROM orderlog.generations WHERE state = 'live')"))
    values = {**wanted, "partitions": list(selection.partitions)}
    return await _select(connection, conditions, values)


async def select_groups(connection: Connection, selection: Selection) -> list[Held]:
    """What waits together of `selection`, in log order. Raises NotParked."""
    held: dict[tuple[object, ...], Held] = {}
    for event in await select_parked(connection, selection):
        key = (event.generation, event.partition, event.order_id or event.offset)
        held.setdefault(key, event.held)
    if not held:
        raise NotParked(f"{selection} is not parked")
    return list(held.values())


async def select_held(connection: Connection, held: Held) -> list[ParkedEvent]:
    """What is still parked of `held`, in log order."""
    wanted: dict[str, Any] = {"g": held.generation, "p": held.partition, "o": held.order_id or held.offset}
    which = "order_id = %(o)s" if held.order_id else '"offset" = %(o)s AND order_id IS NULL'
    conditions = ["generation = %(g)s", "partition = %(p)s", which, STILL_PARKED]
    return await _select(connection, [sql.SQL(one) for one in conditions], wanted)


def as_dict(event: ParkedEvent, *, whole: bool = False) -> dict[str, Any]:
    """A parked event for JSON; `whole` adds traceback, headers and the value's bytes in hexadecimal."""
    names = ("projection", "generation", "state", "attempts", "reason")
    times = {name: getattr(event, name) for name in ("parked_at", "tried_at", "announced_at")}
    shown = {
        "position": str(event.position),
        "order_id": str(event.order_id) if event.order_id else None,
        **{name: getattr(event, name) for name in names},
        **{name: value.isoformat() if value else None for name, value in times.items()},
    }
    if whole:
        headers = {name: (value or b"").decode(errors="backslashreplace") for name, value in event.headers}
        shown |= {"traceback": event.traceback, "headers": headers, "value": (event.value or b"").hex()}
    return shown


async def _select(
    connection: Connection, conditions: list[sql.SQL | sql.Composed], values: Mapping[str, Any]
) -> list[ParkedEvent]:
    query = sql.SQL('SELECT * FROM orderlog.parked_events WHERE {} ORDER BY generation, partition, "offset"')
    async with connection.cursor(row_factory=dict_row) as cursor:
        try:
            await cursor.execute(query.format(sql.SQL(" AND ").join(conditions)), values)
        except UndefinedTable as error:
            raise Explained("the database lacks tables of orderlog; run: orderlog migrate") from error
        return [from_row(row) for row in await cursor.fetchall()]


def from_row(row: dict[str, Any]) -> ParkedEvent:
    """A row of orderlog.parked_events."""
    timestamp = row.pop("timestamp_ms")
    return ParkedEvent(**{**row, "timestamp": timestamp, "headers": list(from_array(row["headers"]))})
