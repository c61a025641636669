"""What a subscriber could not do, as rows to look at: messages that are parked, and tasks that are dead."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.errors import InvalidSchemaName, UndefinedTable
from psycopg.rows import dict_row

from schemas.errors import BadInput, Explained
from service.database import Connection, from_array
from subscribers.deliveries import Delivery
from subscribers.parking import STILL_PARKED

_MESSAGES = sql.SQL(
    "SELECT * FROM subscribers.parked WHERE {} AND (%(subscriber)s::text IS NULL OR subscriber = %(subscriber)s) "
    "AND (%(event_id)s::text IS NULL OR event_id = %(event_id)s) "
    "AND (%(order_id)s::uuid IS NULL OR order_id = %(order_id)s) ORDER BY subscriber, sequence"
).format(sql.SQL(STILL_PARKED))
_TASKS = """
    SELECT * FROM subscribers.outbox
    WHERE state = 'dead' AND (%(subscriber)s::text IS NULL OR subscriber = %(subscriber)s)
        AND (%(event_id)s::text IS NULL OR event_id = %(event_id)s)
        AND (%(order_id)s::uuid IS NULL OR order_id = %(order_id)s)
    ORDER BY subscriber, put_at
"""


@dataclass(frozen=True, slots=True)
class Which:
    """Which parked messages and dead tasks: of one subscriber, of one event, of one order; without any, all."""

    subscriber: str | None = None
    event_id: str | None = None
    order_id: UUID | None = None

    def __str__(self) -> str:
        of = f" of {self.subscriber}" if self.subscriber else ""
        if self.event_id:
            return f"the event {self.event_id}{of}"
        return f"order {self.order_id}{of}" if self.order_id else f"anything{of}"


@dataclass(frozen=True, slots=True)
class ParkedMessage:
    """A parked message; `sequence` orders those of a subscriber, `state` is failed or behind."""

    subscriber: str
    sequence: int
    delivery: Delivery
    state: str
    reason: str
    traceback: str | None
    attempts: int
    parked_at: datetime

    @property
    def event_id(self) -> str:
        """The event's."""
        return self.delivery.event_id

    @property
    def order_id(self) -> UUID | None:
        """The order that it is about, if it tells."""
        return self.delivery.order_id


@dataclass(frozen=True, slots=True)
class DeadTask:
    """A task that failed too often, or can never be done."""

    subscriber: str
    id: str
    event_id: str
    order_id: UUID
    what: dict[str, Any]
    reason: str
    attempts: int
    parked_at: datetime
    state: str = "dead"


async def select_messages(connection: Connection, which: Which) -> list[ParkedMessage]:
    """The messages of `which` that are still parked, each subscriber's in the sequence in which they came."""
    return [_message(row) for row in await _rows(connection, _MESSAGES, which)]


async def select_tasks(connection: Connection, which: Which) -> list[DeadTask]:
    """The tasks of `which` that are dead."""
    rows = await _rows(connection, sql.SQL(_TASKS), which)
    names = ("subscriber", "id", "event_id", "order_id", "what", "reason", "attempts", "settled_at")
    return [DeadTask(*(row[name] for name in names)) for row in rows]


def as_dict(one: ParkedMessage | DeadTask, *, whole: bool = False) -> dict[str, Any]:
    """One of them for JSON; `whole` adds the traceback, headers and bytes of a message, or what a task is."""
    names = ("subscriber", "event_id", "state", "attempts", "reason")
    shown = {name: getattr(one, name) for name in names}
    shown |= {"order_id": str(one.order_id) if one.order_id else None, "parked_at": one.parked_at.isoformat()}
    if whole and isinstance(one, ParkedMessage):
        delivery = one.delivery
        headers = {name: value.decode(errors="backslashreplace") for name, value in delivery.headers}
        shown |= {"position": ":".join(map(str, delivery.place)), "traceback": one.traceback, "headers": headers}
        shown |= {"value": (delivery.value or b"").hex()}
    elif whole and isinstance(one, DeadTask):
        shown |= {"task": one.id, "what": one.what}
    return shown


async def _rows(connection: Connection, query: sql.SQL | sql.Composed, which: Which) -> list[dict[str, Any]]:
    values = {"subscriber": which.subscriber, "event_id": which.event_id, "order_id": which.order_id}
    async with connection.cursor(row_factory=dict_row) as cursor:
        try:
            await cursor.execute(query, values)
        except (UndefinedTable, InvalidSchemaName) as error:
            raise Explained("the database lacks tables of orderlog; run: orderlog migrate") from error
        return await cursor.fetchall()


def _message(row: dict[str, Any]) -> ParkedMessage:
    place = (row["topic"], row["partition"], row["offset"])
    headers = tuple((name, value or b"") for name, value in from_array(row["headers"]))
    delivery = Delivery(*place, row["timestamp_ms"], row["key"], row["value"], headers)
    about = ("state", "reason", "traceback", "attempts", "parked_at")
    return ParkedMessage(row["subscriber"], row["sequence"], delivery, *(row[name] for name in about))


class NothingParked(BadInput):
    """Nothing of what was asked for is parked or dead."""
