"""The `orders` view against its tables: load the rows a batch touches, fold, write them back."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, get_args
from uuid import UUID

from eventlog.recorded import RecordedEvent
from projections.bulk import Connection, copy_rows, delete_rows, select_rows, upsert_rows
from projections.orders.fold import OrderRow, RowLine, fold
from projections.orders.tables import metadata, order_lines, orders
from projections.view import EventFailed
from schemas.events import Address, OrderEvent, OrderPlaced, WriterElected

_ADDRESS = [field.name for field in fields(Address)]


class OrdersView:
    """See projections/view.py for the contract."""

    name = "orders"
    version = 1
    handles = frozenset(get_args(OrderEvent))
    metadata = metadata

    async def apply(self, connection: Connection, schema: str, events: Sequence[RecordedEvent]) -> None:
        """Fold `events`, in order, into the tables of `schema`. Raises EventFailed at one out of sequence."""
        before = await _load(connection, schema, _touched(events))
        after = dict(before)
        for recorded in events:
            event, about = recorded.event, recorded.metadata
            assert not isinstance(event, WriterElected)  # not among `handles`
            try:
                after[event.order_id] = fold(after.get(event.order_id), event, about.version, about.time)
            except ValueError as error:
                raise EventFailed(recorded.position, f"cannot be applied: {error}") from error
        await _store(connection, schema, before, after)


def _touched(events: Iterable[RecordedEvent]) -> list[UUID]:
    """The orders whose rows must be there before: those of the batch that it does not begin with."""
    touched: dict[UUID, bool] = {}
    for recorded in events:
        if not isinstance(recorded.event, WriterElected):
            touched.setdefault(recorded.event.order_id, isinstance(recorded.event, OrderPlaced))
    return [order_id for order_id, placed_here in touched.items() if not placed_here]


async def _load(connection: Connection, schema: str, order_ids: list[UUID]) -> dict[UUID, OrderRow]:
    if not order_ids:
        return {}
    lines: dict[UUID, list[tuple[int, RowLine]]] = {}
    for found in await select_rows(connection, schema, order_lines, "order_id", order_ids):
        line = RowLine(found["sku"], found["quantity"], found["unit_price"], found["returned"])
        lines.setdefault(found["order_id"], []).append((found["position"], line))
    rows = await select_rows(connection, schema, orders, "order_id", order_ids)
    return {row["order_id"]: _from_row(row, lines.get(row["order_id"], [])) for row in rows}


async def _store(
    connection: Connection, schema: str, before: dict[UUID, OrderRow], after: dict[UUID, OrderRow]
) -> None:
    await upsert_rows(connection, schema, orders, [_to_row(row) for row in after.values()])
    relined = [row for row in after.values() if (old := before.get(row.order_id)) is None or old.lines != row.lines]
    await delete_rows(
        connection, schema, order_lines, "order_id", [r.order_id for r in relined if r.order_id in before]
    )
    await copy_rows(connection, schema, order_lines, [line for row in relined for line in _to_line_rows(row)])


def _to_row(row: OrderRow) -> tuple[Any, ...]:
    address = _to_json(row.shipping_address) if row.shipping_address else None
    money = (row.total, row.paid, row.refunded)
    shipment = (address, row.reason, row.carrier, row.tracking)
    times = (row.version, row.placed_at, row.updated_at)
    return (row.order_id, row.customer_id, row.email, row.currency, row.status, *money, *shipment, *times)


def _to_json(address: Address) -> str:
    return json.dumps({name: getattr(address, name) for name in _ADDRESS})


def _to_line_rows(row: OrderRow) -> list[tuple[Any, ...]]:
    return [
        (row.order_id, position, line.sku, line.quantity, line.unit_price, line.returned)
        for position, line in enumerate(row.lines)
    ]


def _from_row(row: dict[str, Any], lines: list[tuple[int, RowLine]]) -> OrderRow:
    columns = {name: value for name, value in row.items() if name not in ("total", "shipping_address")}
    address = row["shipping_address"]
    ordered = tuple(line for _, line in sorted(lines, key=lambda numbered: numbered[0]))
    return OrderRow(**columns, lines=ordered, shipping_address=Address(**address) if address else None)
