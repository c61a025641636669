"""What the statements have in common. Each reads its rows and the view's position at once, so in one snapshot.

They start from the live generation's row, so no row at all means that the view was not made yet. Bodies are written
as JSON by Postgres: nothing is gained by reading each value into Python to write it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from query_side.database import Row, Unavailable

ORDERS = "orders"
SALES = "sales"

# `changing`: other workers have taken the place of those that were asked until now, or are just about to.
SALES_WORKERS = """
    SELECT w.partition, w.url, EXISTS (
        SELECT FROM orderlog.generations g
        WHERE g.projection = 'sales' AND g.state = 'retired' AND g.changed_at > now() - interval '1 minute'
    ) AS changing FROM views.sales_workers w
"""

LIVE = """
    WITH live AS MATERIALIZED (
        SELECT (
            SELECT string_agg(c.partition || ':' || (c.next_offset - 1), ',' ORDER BY c.partition)
            FROM orderlog.checkpoints c
            WHERE c.projection = g.projection AND c.generation = g.generation AND c.next_offset > 0
        ) AS positions
        FROM orderlog.generations g WHERE g.projection = 'orders' AND g.state = 'live'
    )
"""


def rfc3339(column: str) -> str:
    """A time as text, in UTC, which the connection's time zone is."""
    return f"""to_char({column}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


ORDER_BODY = f"""
    json_build_object(
        'order_id', o.order_id, 'customer_id', o.customer_id, 'email', o.email, 'status', o.status,
        'currency', o.currency, 'total', o.total, 'paid', o.paid, 'refunded', o.refunded,
        'lines', (
            SELECT coalesce(json_agg(json_build_object(
                'sku', l.sku, 'quantity', l.quantity, 'unit_price', l.unit_price, 'returned', l.returned
            ) ORDER BY l.position), '[]')
            FROM views.order_lines l WHERE l.order_id = o.order_id
        ),
        'shipping_address', o.shipping_address, 'reason', o.reason, 'carrier', o.carrier, 'tracking', o.tracking,
        'version', o.version, 'placed_at', {rfc3339("o.placed_at")}, 'updated_at', {rfc3339("o.updated_at")}
    )::text
"""

EVENT_BODY = f"""
    json_build_object(
        'version', e.version, 'type', e.type, 'time', {rfc3339("e.time")},
        'recorded_at', {rfc3339("e.recorded_at")}, 'position', e.partition || ':' || e."offset",
        'command_id', e.command_id, 'correlation_id', e.correlation_id, 'data', e.data
    )::text
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows, and the last offset of each partition that they reflect, as `eventlog.positions` writes them."""

    rows: Sequence[Row]
    position: str


def answer(rows: Sequence[Row], present: str) -> Answer:
    """The answer that a statement from LIVE gives; `present` is a column that is null only where there is no row."""
    if not rows:
        raise Unavailable("the view was not made yet; its worker makes it when it starts")
    return Answer([row for row in rows if row[present] is not None], rows[0]["positions"] or "")
