"""The queries by key. Lists are in query_side/listing.py."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from query_side.database import Database, Row
from query_side.sql import EVENT_BODY, LIVE, ORDER_BODY, Answer, answer

ORDERS_BY_ID = f"""{LIVE}
    SELECT live.positions, found.* FROM live LEFT JOIN (
        SELECT o.order_id, o.version, {ORDER_BODY} AS body FROM views.orders o WHERE o.order_id = ANY(%(ids)s)
    ) found ON true
"""
HISTORY = f"""{LIVE}
    SELECT live.positions, e.version, e.type, e.time, e.data
    FROM live LEFT JOIN views.order_events e ON e.order_id = %(order_id)s ORDER BY e.version
"""
EVENTS = f"""{LIVE}
    SELECT live.positions, o.version AS current, e.version, e.body FROM live
    LEFT JOIN views.orders o ON o.order_id = %(order_id)s
    LEFT JOIN LATERAL (
        SELECT e.version, {EVENT_BODY} AS body FROM views.order_events e
        WHERE e.order_id = o.order_id AND e.version > %(after)s ORDER BY e.version LIMIT %(limit)s
    ) e ON true ORDER BY e.version
"""
NEWS = f"""
    SELECT e.order_id, k.version AS known, e.version, e.type, {EVENT_BODY} AS body
    FROM unnest(%(ids)s::uuid[], %(versions)s::int[]) AS k (order_id, version)
    JOIN views.order_events e ON e.order_id = k.order_id AND e.version > k.version
    ORDER BY e.order_id, e.version
"""
CUSTOMER = f"""{LIVE}
    SELECT live.positions, c.* FROM live LEFT JOIN (
        SELECT currency, sum(orders)::bigint AS orders, sum(paid)::bigint AS paid, sum(refunded)::bigint AS refunded,
            sum(returned_pieces)::bigint AS returned_pieces, sum(returned_amount)::bigint AS returned_amount,
            max(last_order_at) AS last_order_at
        FROM views.customers WHERE customer_id = %(customer_id)s GROUP BY currency
    ) c ON true ORDER BY c.currency
"""
_POSITIONS = """
    SELECT g.projection, g.generation, c.partition, c.next_offset, c.term,
        b.generation AS building, b.builder, b.progress
    FROM orderlog.generations g LEFT JOIN orderlog.checkpoints c USING (projection, generation)
    LEFT JOIN orderlog.generations b ON b.projection = g.projection AND b.state = 'building'
    WHERE g.state = 'live' ORDER BY g.projection, c.partition
"""


async def orders(database: Database, order_ids: Collection[UUID]) -> Mapping[UUID, Answer]:
    """`order_id`, `version` and `body` of each order, or no row, from one snapshot. Raises Unavailable."""
    found = answer(await database.rows(ORDERS_BY_ID, {"ids": list(order_ids)}), "order_id")
    rows = {row["order_id"]: row for row in found.rows}
    return {one: Answer([rows[one]] if one in rows else [], found.position) for one in order_ids}


async def new_events(database: Database, known: Collection[tuple[UUID, int]]) -> Mapping[tuple[UUID, int], list[Row]]:
    """`version`, `type` and `body` of what each order has behind the version that is known. Raises Unavailable."""
    ids, versions = [order_id for order_id, _ in known], [version for _, version in known]
    news: dict[tuple[UUID, int], list[Row]] = {one: [] for one in known}
    for row in await database.rows(NEWS, {"ids": ids, "versions": versions}):
        news[row["order_id"], row["known"]].append(row)
    return news


async def history(database: Database, order_id: UUID) -> Answer:
    """`version`, `type`, `time` and `data` of each event of the order, in order. Raises Unavailable."""
    return answer(await database.rows(HISTORY, {"order_id": order_id}), "version")


async def events(database: Database, order_id: UUID, after: int, limit: int) -> tuple[int, Answer]:
    """The order's version, 0 if there is no such order; `version` and `body` of its events after `after`."""
    values = {"order_id": order_id, "after": after, "limit": limit}
    rows = await database.rows(EVENTS, values)
    found = answer(rows, "version")
    return rows[0]["current"] or 0, found


async def customer(database: Database, customer_id: str) -> Answer:
    """A customer's totals, a row for each currency. Raises Unavailable."""
    return answer(await database.rows(CUSTOMER, {"customer_id": customer_id}), "currency")


async def positions(database: Database) -> Sequence[Row]:
    """projection, generation, partition, next_offset and term of every live generation; no partition at its start.

    `building`, `builder` and `progress` are of the generation that is to replace it, if there is one.
    """
    nothing: dict[str, Any] = {}
    return await database.rows(_POSITIONS, nothing)
