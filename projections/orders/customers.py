"""What an order adds to its customer's totals. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from projections.orders.fold import OrderRow


class Totals(NamedTuple):
    """A customer's totals in one currency and partition, or what is to be added to them; amounts in minor units."""

    orders: int
    paid: int
    refunded: int
    returned_pieces: int
    returned_amount: int
    last_order_at: datetime


def added(changes: Iterable[tuple[OrderRow | None, OrderRow]]) -> dict[tuple[str, str], Totals]:
    """{(customer, currency): what to add} for orders that went from one state to another; None is not placed yet."""
    totals: dict[tuple[str, str], Totals] = {}
    for before, after in changes:
        change = _difference(before, after)
        if any(change[:5]):
            key = (after.customer_id, after.currency)
            known = totals.get(key)
            totals[key] = _sum(known, change) if known else change
    return totals


def _difference(before: OrderRow | None, after: OrderRow) -> Totals:
    pieces, amount = _returned(after)
    if before is None:
        return Totals(1, after.paid, after.refunded, pieces, amount, after.placed_at)
    pieces_before, amount_before = _returned(before)
    paid, refunded = after.paid - before.paid, after.refunded - before.refunded
    return Totals(0, paid, refunded, pieces - pieces_before, amount - amount_before, after.placed_at)


def _returned(row: OrderRow) -> tuple[int, int]:
    pieces = amount = 0
    for line in row.lines:
        if line.returned:
            pieces += line.returned
            amount += line.returned * line.unit_price
    return pieces, amount


def _sum(one: Totals, other: Totals) -> Totals:
    return Totals(
        one.orders + other.orders,
        one.paid + other.paid,
        one.refunded + other.refunded,
        one.returned_pieces + other.returned_pieces,
        one.returned_amount + other.returned_amount,
        max(one.last_order_at, other.last_order_at),
    )
