"""Parked events: what a view could not apply, kept in order beside its position until somebody has mended the cause.

Rows change in the transaction that moves the position, under the lock on its row (projections/checkpoints.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from eventlog.recorded import KafkaRecord
from projections.failures import judge
from projections.generations import Generation
from service.database import Connection, storable, storable_traceback, to_array
from service.verdicts import Park, TooManyParked

BEHIND = "waits behind an earlier event of its order"
STILL_PARKED = "state IN ('failed', 'behind')"

# The orders of partitions whose events wait: what comes of them next is parked too.
HELD = f"""
    SELECT DISTINCT partition, order_id FROM orderlog.parked_events
    WHERE projection = %s AND generation = %s AND partition = ANY(%s) AND {STILL_PARKED} AND order_id IS NOT NULL
"""
_COUNT_HELD = f"""
    SELECT count(DISTINCT (partition, coalesce(order_id::text, "offset"::text))) FROM orderlog.parked_events
    WHERE projection = %s AND generation = %s AND {STILL_PARKED}
"""
_INSERT = """
    INSERT INTO orderlog.parked_events (projection, generation, partition, "offset", order_id, timestamp_ms, key, value,
        headers, state, reason, traceback, attempts, tried_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, CASE WHEN %s > 0 THEN now() END)
"""
# A table may come to park what it has parked before it was killed. What failed then waits on as it does; a row that
# was given up or redriven is of a table that was lost since.
_ONCE_MORE = f"""
    ON CONFLICT (projection, generation, partition, "offset") DO UPDATE
    SET state = excluded.state, reason = excluded.reason, traceback = excluded.traceback,
        attempts = excluded.attempts, tried_at = excluded.tried_at, resolved_at = NULL
    WHERE NOT parked_events.{STILL_PARKED} OR (parked_events.state, excluded.state) = ('behind', 'failed')
"""


@dataclass(frozen=True, slots=True)
class Failure:
    """An event that failed: its offset, and why."""

    offset: int
    error: Exception

    @property
    def reason(self) -> str:
        """One line for people."""
        return storable(judge(self.error).reason)

    @property
    def traceback(self) -> str:
        """Where it was raised."""
        return storable_traceback(self.error)


@dataclass(frozen=True, slots=True)
class ToPark:
    """A record that is to be parked; `failure` is None for one that only waits behind another of its order."""

    record: KafkaRecord
    order_id: UUID | None
    failure: Failure | None


def order_of(record: KafkaRecord) -> UUID | None:
    """The order that a record's key names; None when it names none."""
    try:
        return UUID((record.key or b"").decode())
    except ValueError:
        return None


def is_park(error: BaseException) -> bool:
    """Whether `error` is the fault of an event."""
    return isinstance(error, Exception) and isinstance(judge(error), Park)


async def count_held(connection: Connection, generation: Generation) -> int:
    """How many orders are parked in all partitions, records that name no order counted as one each."""
    rows = await connection.execute(_COUNT_HELD, [generation.projection, generation.number])
    return int((await rows.fetchall())[0][0])


def require_few(partition: int, orders: int, most: int) -> None:
    """Raise TooManyParked when there are more than `most` orders: then it is the code or the tables, not the orders."""
    if orders > most:
        raise TooManyParked(
            f"partition {partition}: more than {most} orders would be parked, so it is hardly them: mend what fails, "
            "or raise ORDERLOG_MAX_PARKED_ORDERS"
        )


async def park(
    connection: Connection, generation: Generation, partition: int, parked: Sequence[ToPark], *, once_more: bool = False
) -> None:
    """Set `parked` aside; some of it may be parked already, if this may be done `once_more`."""
    place = (generation.projection, generation.number, partition)
    async with connection.cursor() as cursor:
        query = _INSERT + _ONCE_MORE if once_more else _INSERT
        await cursor.executemany(query, [(*place, *_row(one)) for one in parked])


def first_reason(parked: Sequence[ToPark]) -> str | None:
    """Why the first of `parked` that failed did; None when all of them only wait."""
    return next((one.failure.reason for one in parked if one.failure), None)


def _row(one: ToPark) -> tuple[Any, ...]:
    record, failure = one.record, one.failure
    told = (record.timestamp, record.key, record.value, to_array(list(record.headers)))
    if failure is None:
        return (record.offset, one.order_id, *told, "behind", BEHIND, None, 0, 0)
    return (record.offset, one.order_id, *told, "failed", failure.reason, failure.traceback, 1, 1)
