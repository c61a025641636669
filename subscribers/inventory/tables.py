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
_NEW_LEVELS = """
    unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
        AS new (sku, received, available, reserved, shipped, unstocked)
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
    unnest(%s::uuid[], %s::int[], %s::text[], %s::jsonb[]) AS new (order_id, order_version, state, lines)
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
    await _write(connection, _UPDATE_LEVELS, _level_columns(levels, loaded.levels.keys() & levels.keys()))
    await _write(connection, _ADD_LEVELS, _level_columns(levels, levels.keys() - loaded.levels.keys()))
    orders = {order_id: order for order_id, order in stock.orders.items() if loaded.orders.get(order_id) != order}
    await _write(connection, _UPDATE_ORDERS, _order_columns(orders, loaded.orders.keys() & orders.keys()))
    new = orders.keys() - loaded.orders.keys()
    if await _write(connection, _ADD_ORDERS, _order_columns(orders, new)) != len(new):
        raise TakenMeanwhile("another process of the inventory takes in another event of an order that is new")


async def _write(connection: Connection, statement: str, columns: Sequence[Sequence[object]]) -> int:
    return (await connection.execute(statement.encode(), columns)).rowcount if columns else 0


def _level_columns(levels: Mapping[str, Level], skus: set[str]) -> list[list[object]]:
    return [list(column) for column in zip(*((sku, *levels[sku]) for sku in skus), strict=True)]


def _order_columns(orders: Mapping[UUID, Order], order_ids: set[UUID]) -> list[list[object]]:
    rows = ((order_id, *orders[order_id][:2], _written(orders[order_id].lines)) for order_id in order_ids)
    return [list(column) for column in zip(*rows, strict=True)]


def _written(lines: Mapping[str, Pieces]) -> str:
    return msgspec.json.encode(lines).decode()
