"""The `orders` view against its tables: load the rows a batch touches, fold, write them back."""

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, get_args
from uuid import UUID

import msgspec
from psycopg import sql

from eventlog.recorded import RecordedEvent
from projections.bulk import copy_rows, delete_rows, select_rows, upsert_rows
from projections.orders import customers
from projections.orders.fold import OrderRow, RowLine, fold
from projections.orders.tables import customers as customers_table
from projections.orders.tables import metadata, order_events, order_lines, order_texts, orders
from projections.orders.texts import text_of
from projections.view import EventFailed
from schemas.events import Address, OrderEvent, OrderPlaced, ShippingAddressChanged, WriterElected
from service.database import Connection

Change = tuple[OrderRow | None, OrderRow]

_subject = attrgetter("metadata.subject")
_to_json = msgspec.json.Encoder().encode
# Each event begins with its order's id, which has a column of its own.
_ORDER_ID = len(_to_json({"order_id": UUID(int=0)})) - 1


class OrdersView:
    """See projections/view.py for the contract."""

    name = "orders"
    version = 2
    handles = frozenset(get_args(OrderEvent))
    metadata = metadata

    async def apply(self, connection: Connection, schema: str, events: Sequence[RecordedEvent]) -> None:
        """Fold `events`, in order, into the tables of `schema`. Raises EventFailed at one out of sequence."""
        if not events:
            return
        before = await _load(connection, schema, _touched(events))
        after = dict(before)
        for recorded in events:
            event, about = recorded.event, recorded.metadata
            assert type(event) is not WriterElected  # not among `handles`
            number = event.order_id.int
            try:
                after[number] = fold(after.get(number), event, about.version, about.time)
            except ValueError as error:
                raise EventFailed(recorded.position, f"cannot be applied: {error}") from error
        # In the order of their keys: neighbours in an index are cheap to add.
        changes = [(before.get(number), after[number]) for number in sorted(after)]
        await _store_orders(connection, schema, changes)
        await _store_customers(connection, schema, events[0].position.partition, changes)
        in_key_order = sorted(events, key=_subject)  # those of an order stay in their order
        await copy_rows(connection, schema, order_events, [_to_event_row(recorded) for recorded in in_key_order])
        await _store_texts(connection, schema, in_key_order)

    async def remake(
        self,
        connection: Connection,
        schema: str,
        order_id: UUID,
        events: Sequence[RecordedEvent],
        partition_of: Callable[[UUID], int],
    ) -> None:
        """See RemakesOrders. A customer's totals are added up again from the rows of its orders."""
        known = await _load(connection, schema, [order_id])
        for table in (order_lines, order_texts, order_events, orders):
            await delete_rows(connection, schema, table, "order_id", [order_id])
        await self.apply(connection, schema, events)
        rows = [*known.values(), *(await _load(connection, schema, [order_id])).values()]
        mine = partition_of(order_id)
        for customer_id in {row.customer_id for row in rows}:
            await _add_up(connection, schema, customer_id, mine, partition_of)


async def _add_up(
    connection: Connection, schema: str, customer_id: str, partition: int, partition_of: Callable[[UUID], int]
) -> None:
    """Make a customer's totals of one partition again."""
    found = await select_rows(connection, schema, orders, "customer_id", [customer_id])
    ids = [row["order_id"] for row in found if partition_of(row["order_id"]) == partition]
    where = sql.SQL("DELETE FROM {} WHERE customer_id = %s AND partition = %s")
    table = sql.Identifier(schema, customers_table.name)
    await connection.execute(where.format(table), [customer_id, partition])
    changes: list[Change] = [(None, row) for row in (await _load(connection, schema, ids)).values()]
    await copy_rows(connection, schema, customers_table, _to_customer_rows(partition, changes))


def _touched(events: Iterable[RecordedEvent]) -> list[UUID]:
    """The orders whose rows must be there before: those of the batch that it does not begin with."""
    touched: dict[int, OrderEvent] = {}  # by their ids as numbers, which hash faster
    for recorded in events:
        if type(recorded.event) is not WriterElected:
            touched.setdefault(recorded.event.order_id.int, recorded.event)
    return [first.order_id for first in touched.values() if type(first) is not OrderPlaced]


async def _load(connection: Connection, schema: str, order_ids: list[UUID]) -> dict[int, OrderRow]:
    """The rows that are there, by their orders' ids as numbers."""
    if not order_ids:
        return {}
    lines: dict[UUID, list[tuple[int, RowLine]]] = {}
    for found in await select_rows(connection, schema, order_lines, "order_id", order_ids):
        line = RowLine(found["sku"], found["quantity"], found["unit_price"], found["returned"])
        lines.setdefault(found["order_id"], []).append((found["position"], line))
    rows = await select_rows(connection, schema, orders, "order_id", order_ids)
    return {row["order_id"].int: _from_row(row, lines.get(row["order_id"], [])) for row in rows}


async def _store_orders(connection: Connection, schema: str, changes: Iterable[Change]) -> None:
    new: list[tuple[Any, ...]] = []
    changed: list[tuple[Any, ...]] = []
    lines: list[tuple[Any, ...]] = []
    relined: list[UUID] = []
    for before, after in changes:
        (new if before is None else changed).append(_to_row(after))
        if before is None or before.lines != after.lines:
            lines += _to_line_rows(after)
            if before is not None:
                relined.append(after.order_id)
    await copy_rows(connection, schema, orders, new)
    await upsert_rows(connection, schema, orders, changed)
    await delete_rows(connection, schema, order_lines, "order_id", relined)
    await copy_rows(connection, schema, order_lines, lines)


async def _store_customers(connection: Connection, schema: str, partition: int, changes: Iterable[Change]) -> None:
    await upsert_rows(connection, schema, customers_table, _to_customer_rows(partition, changes))


async def _store_texts(connection: Connection, schema: str, events: Iterable[RecordedEvent]) -> None:
    new: dict[tuple[str, int], tuple[UUID, int, str]] = {}
    changed: dict[tuple[str, int], tuple[UUID, int, str]] = {}
    for recorded in events:
        event, about = recorded.event, recorded.metadata
        assert type(event) is not WriterElected
        if found := text_of(event, about.version):
            key = (about.subject, found.source)  # as the id's text, whose hash costs nothing
            known_before = type(event) is ShippingAddressChanged and key not in new
            (changed if known_before else new)[key] = (event.order_id, *found)
    await copy_rows(connection, schema, order_texts, list(new.values()))
    await upsert_rows(connection, schema, order_texts, list(changed.values()))


def _to_customer_rows(partition: int, changes: Iterable[Change]) -> list[tuple[Any, ...]]:
    totals = sorted(customers.added(changes).items())
    return [(customer_id, currency, partition, *added) for (customer_id, currency), added in totals]


def _to_event_row(recorded: RecordedEvent) -> tuple[Any, ...]:
    event, about, position = recorded.event, recorded.metadata, recorded.position
    assert type(event) is not WriterElected
    return (
        event.order_id,
        about.version,
        type(event).__name__,
        about.time,
        recorded.recorded_at,
        position.partition,
        position.offset,
        about.command_id,
        about.correlation_id,
        _to_data(event),
    )


def _to_data(event: OrderEvent) -> bytes:
    """The event's fields but the first as JSON: cut off rather than left out, which takes three times as long."""
    return b"{" + _to_json(event)[_ORDER_ID:].removeprefix(b",")


def _to_row(row: OrderRow) -> tuple[Any, ...]:
    return (
        row.order_id,
        row.customer_id,
        row.email,
        row.currency,
        row.status,
        row.total,
        row.paid,
        row.refunded,
        _to_json(row.shipping_address) if row.shipping_address else None,
        row.reason,
        row.carrier,
        row.tracking,
        row.version,
        row.placed_at,
        row.updated_at,
    )


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
