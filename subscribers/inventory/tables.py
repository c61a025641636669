"""The stock in Postgres: what a batch of events is about, loaded and locked at once, and written back at once.

Rows are locked in one order, orders before levels and each by its key, so that two processes never wait for each other
in a circle.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from schemas.public_events import OrderReturned, PublicEvent, WholeOrder
from service.database import Connection
from subscribers.failures import TakenMeanwhile
from subscribers.inventory.level import Level
from subscribers.inventory.stock import Order, Pieces, State, Stock

_ORDERS = """
    SELECT order_id, order_version, state, lines::text FROM inventory.reservations
    WHERE order_id = ANY(%s) ORDER BY order_id FOR UPDATE
"""
_LEVELS = """
    SELECT sku, received, available, reserved, shipped, unstocked FROM inventory.levels
    WHERE sku = ANY(%s) ORDER BY sku FOR UPDATE
"""
# One JSON document for all rows: as arrays psycopg would go through every character of theirs.
_NEW_LEVELS = """
    jsonb_to_recordset(%s::jsonb)
        AS new (sku text, received bigint, available bigint, reserved bigint, shipped bigint, unstocked bigint)
"""
_UPDATE_LEVELS = f"""
    UPDATE inventory.levels AS old
    SET received = new.received, available = new.available, reserved = new.reserved, shipped = new.shipped,
        unstocked = new.unstocked
    FROM {_NEW_LEVELS} WHERE old.sku = new.sku
"""
# A level that was not there could not be locked. All that happens to one that is empty is that pieces are added, so
# that what another process has put there meanwhile is added to.
_ADD_LEVELS = f"""
    INSERT INTO inventory.levels AS old (sku, received, available, reserved, shipped, unstocked)
    SELECT new.* FROM {_NEW_LEVELS} ORDER BY new.sku
    ON CONFLICT (sku) DO UPDATE
    SET received = old.received + excluded.received, available = old.available + excluded.available,
        reserved = old.reserved + excluded.reserved, shipped = old.shipped + excluded.shipped,
        unstocked = old.unstocked + excluded.unstocked
"""
_NEW_ORDERS = """
    jsonb_to_recordset(%s::jsonb) AS new (order_id uuid, order_version int, state text, lines jsonb)
"""
_UPDATE_ORDERS = f"""
    UPDATE inventory.reservations AS old
    SET order_version = new.order_version, state = new.state, lines = new.lines, changed_at = now()
    FROM {_NEW_ORDERS} WHERE old.order_id = new.order_id
"""
_ADD_ORDERS = f"""
    INSERT INTO inventory.reservations (order_id, order_version, state, lines)
    SELECT new.* FROM {_NEW_ORDERS} ORDER BY new.order_id
    ON CONFLICT DO NOTHING
"""
_LINES = msgspec.json.Decoder(dict[str, Pieces])


async def load(connection: Connection, events: Sequence[PublicEvent]) -> Stock:
    """What there is of the orders of `events` and of all their skus, locked until the transaction ends."""
    order_ids = list({event.order_id for event in events})
    rows = await (await connection.execute(_ORDERS, [order_ids])).fetchall()
    orders = {order_id: Order(version, State(state), _LINES.decode(lines)) for order_id, version, state, lines in rows}
    skus = {sku for order in orders.values() for sku in order.lines}
    skus |= {line.sku for event in events if isinstance(event, WholeOrder | OrderReturned) for line in event.lines}
    rows = await (await connection.execute(_LEVELS, [list(skus)])).fetchall()
    return Stock({sku: Level(*level) for sku, *level in rows}, orders)


async def save(connection: Connection, loaded: Stock, stock: Stock) -> None:
    """Write what has changed since `loaded`. Raises TakenMeanwhile."""
    levels = {sku: level for sku, level in stock.levels.items() if loaded.levels.get(sku) != level}
    await _write(connection, _UPDATE_LEVELS, [_level(sku, levels[sku]) for sku in levels if sku in loaded.levels])
    await _write(connection, _ADD_LEVELS, [_level(sku, levels[sku]) for sku in levels if sku not in loaded.levels])
    orders = {order_id: order for order_id, order in stock.orders.items() if loaded.orders.get(order_id) != order}
    await _write(connection, _UPDATE_ORDERS, [_order(of, orders[of]) for of in orders if of in loaded.orders])
    new = [_order(of, orders[of]) for of in orders if of not in loaded.orders]
    if await _write(connection, _ADD_ORDERS, new) != len(new):
        raise TakenMeanwhile("another process of the inventory takes in another event of an order that is new")


async def _write(connection: Connection, statement: str, rows: Sequence[Mapping[str, object]]) -> int:
    if not rows:
        return 0
    return (await connection.execute(statement.encode(), [msgspec.json.encode(rows).decode()])).rowcount


def _level(sku: str, level: Level) -> Mapping[str, object]:
    return {"sku": sku, **level._asdict()}


def _order(order_id: UUID, order: Order) -> Mapping[str, object]:
    return {"order_id": order_id, "order_version": order.version, "state": order.state, "lines": order.lines}
