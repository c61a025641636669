"""Messages that could not be handled, kept in order until the cause is mended; later ones of their orders wait.

Rows change in the transaction that takes messages in. A redrive excludes that by a lock, so that nothing is set aside
behind an order that it has just set free.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from service.database import Connection, storable, storable_traceback, to_array
from service.verdicts import TooManyParked
from subscribers.deliveries import Delivery, Place
from subscribers.failures import judge

BEHIND = "waits behind an earlier event of its order"
STILL_PARKED = "state IN ('failed', 'behind')"
_LOCK = "SELECT pg_advisory_xact_lock{}(hashtextextended('orderlog.subscriber.' || %s, 0))"
_PLACES = """
    SELECT topic, partition, "offset", reason, attempts FROM subscribers.parked
    WHERE subscriber = %s AND (topic, partition, "offset") IN (
        SELECT * FROM unnest(%s::text[], %s::int[], %s::bigint[]))
"""
_HELD = f"""
    SELECT DISTINCT order_id FROM subscribers.parked
    WHERE subscriber = %s AND order_id = ANY(%s) AND {STILL_PARKED}
"""
_COUNT_HELD = f"""
    SELECT count(DISTINCT coalesce(order_id::text, event_id)) FROM subscribers.parked
    WHERE subscriber = %s AND {STILL_PARKED}
"""
_INSERT = """
    INSERT INTO subscribers.parked (subscriber, event_id, topic, partition, "offset", order_id, timestamp_ms, key,
        value, headers, state, reason, traceback, attempts)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


@dataclass(frozen=True, slots=True)
class SetAside:
    """A delivery that is parked; `error` is None for one that only waits behind another of its order."""

    delivery: Delivery
    reason: str
    error: Exception | None = None
    attempts: int = 0


def failed(delivery: Delivery, error: Exception) -> SetAside:
    """A delivery that is to be parked because of `error`."""
    return SetAside(delivery, storable(judge(error).reason), error, 1)


def behind(delivery: Delivery) -> SetAside:
    """A delivery that is to be parked because one before it is."""
    return SetAside(delivery, BEHIND)


async def share(connection: Connection, subscriber: str) -> None:
    """Until the transaction ends, no redrive of this subscriber begins."""
    await connection.execute(_LOCK.format("_shared"), [subscriber])


async def exclude(connection: Connection, subscriber: str) -> None:
    """Until the transaction ends, nothing else of this subscriber takes messages in or redrives them."""
    await connection.execute(_LOCK.format(""), [subscriber])


async def parked_before(
    connection: Connection, subscriber: str, deliveries: Sequence[Delivery]
) -> dict[Place, SetAside]:
    """{place: how} of those of `deliveries` that were parked already, whatever has become of them since."""
    by_place = {delivery.place: delivery for delivery in deliveries}
    columns = [list(column) for column in zip(*by_place, strict=True)] or [[], [], []]
    rows = await (await connection.execute(_PLACES, [subscriber, *columns])).fetchall()
    return {(t, p, o): SetAside(by_place[t, p, o], reason, None, attempts) for t, p, o, reason, attempts in rows}


async def held_orders(connection: Connection, subscriber: str, deliveries: Sequence[Delivery]) -> set[UUID]:
    """The orders of `deliveries` that have parked messages: what comes of them now is parked too."""
    orders = list({order for delivery in deliveries if (order := delivery.order_id)})
    rows = await (await connection.execute(_HELD, [subscriber, orders])).fetchall()
    return {order for (order,) in rows}


async def count_held(connection: Connection, subscriber: str) -> int:
    """How many orders have parked messages, records that name no order counted as one each."""
    return int((await (await connection.execute(_COUNT_HELD, [subscriber])).fetchall())[0][0])


async def park(connection: Connection, subscriber: str, parked: Sequence[SetAside], most: int) -> None:
    """Set `parked` aside. Raises TooManyParked when more than `most` orders are: then it is hardly them."""
    async with connection.cursor() as cursor:
        await cursor.executemany(_INSERT, [(subscriber, *_row(one)) for one in parked])
    if parked and await count_held(connection, subscriber) > most:
        raise TooManyParked(
            f"more than {most} orders would be parked, so it is hardly them: mend what fails, or raise "
            "ORDERLOG_MAX_PARKED_ORDERS"
        )


def _row(one: SetAside) -> tuple[object, ...]:
    delivery = one.delivery
    record = (delivery.timestamp_ms, delivery.key, delivery.value, to_array(delivery.headers))
    why = "behind" if one.error is None else "failed"
    return (delivery.event_id, *delivery.place, delivery.order_id, *record, why, one.reason, trace(one), one.attempts)


def trace(one: SetAside) -> str | None:
    """Where it was raised."""
    return None if one.error is None else storable_traceback(one.error)
