"""What each event does to an order's row. Pure."""

from collections import Counter
from datetime import datetime
from typing import Any, NamedTuple, assert_never
from uuid import UUID

from schemas.events import (
    Address,
    Line,
    LineAdded,
    LineQuantityChanged,
    LineRemoved,
    LinesReturned,
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderEvent,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    PaymentRecorded,
    PaymentRefunded,
    ShippingAddressChanged,
)


class RowLine(NamedTuple):
    """A line of an order, with what came back of it."""

    sku: str
    quantity: int
    unit_price: int
    returned: int = 0


class OrderRow(NamedTuple):
    """An order as a reader sees it; amounts in minor units, `version` the number of its events.

    A tuple, because each event replaces some of it, which costs a dataclass four times as much.
    """

    order_id: UUID
    customer_id: str
    email: str | None
    currency: str
    status: str
    lines: tuple[RowLine, ...]
    shipping_address: Address | None
    placed_at: datetime
    updated_at: datetime
    version: int = 1
    paid: int = 0
    refunded: int = 0
    reason: str | None = None
    carrier: str | None = None
    tracking: str | None = None

    @property
    def total(self) -> int:
        """What all lines cost together."""
        return sum(line.quantity * line.unit_price for line in self.lines)


def fold(row: OrderRow | None, event: OrderEvent, version: int, at: datetime) -> OrderRow:
    """The order's row after `event`, which is its `version`th and happened `at`.

    Raises ValueError when it is not the next one of this order: something was lost, or came twice.
    """
    if version != (row.version if row else 0) + 1:
        raise ValueError(f"version {version} of order {event.order_id} follows {row.version if row else 0}")
    if row is None:
        if not isinstance(event, OrderPlaced):
            raise ValueError(f"order {event.order_id} begins with {type(event).__name__}")
        return _placed(event, at)
    return _apply(row, event, {"version": version, "updated_at": at})


def _placed(event: OrderPlaced, at: datetime) -> OrderRow:
    contact = event.personal_data
    return OrderRow(
        order_id=event.order_id,
        customer_id=event.customer_id,
        email=contact.email if contact else None,
        currency=event.currency,
        status="open",
        lines=tuple(_line(line) for line in event.lines),
        shipping_address=contact.shipping_address if contact else None,
        placed_at=at,
        updated_at=at,
    )


def _line(line: Line) -> RowLine:
    return RowLine(line.sku, line.quantity, line.unit_price)


def _apply(row: OrderRow, event: OrderEvent, now: dict[str, Any]) -> OrderRow:
    # `now` goes into each replacement: one more of them would double the cost of the fold.
    match event:
        case OrderPlaced():
            raise ValueError(f"order {event.order_id} was placed twice")
        case LineAdded() | LineQuantityChanged() | LineRemoved() | LinesReturned():
            return _lines(row, event, now)
        case ShippingAddressChanged(_, destination):
            return row._replace(shipping_address=destination.shipping_address if destination else None, **now)
        case OrderConfirmed(_, total):
            return row._replace(status="confirmed" if total else "paid", **now)
        case OrderRejected(_, reason):
            return row._replace(status="rejected", reason=reason.reason if reason else None, **now)
        case PaymentRecorded(_, amount):
            paid = row.paid + amount
            return row._replace(paid=paid, status="paid" if paid >= row.total else row.status, **now)
        case OrderShipped(_, carrier, tracking):
            return row._replace(status="shipped", carrier=carrier, tracking=tracking, **now)
        case OrderDelivered():
            return row._replace(status="delivered", **now)
        case OrderCancelled(_, reason):
            return row._replace(status="cancelled", reason=reason.reason if reason else None, **now)
        case PaymentRefunded(_, amount):
            return row._replace(refunded=row.refunded + amount, **now)
    assert_never(event)


def _lines(
    row: OrderRow, event: LineAdded | LineQuantityChanged | LineRemoved | LinesReturned, now: dict[str, Any]
) -> OrderRow:
    match event:
        case LineAdded(_, sku, quantity, unit_price):
            return row._replace(lines=(*row.lines, RowLine(sku, quantity, unit_price)), **now)
        case LineQuantityChanged(_, sku, quantity):
            changed = (line._replace(quantity=quantity) if line.sku == sku else line for line in row.lines)
            return row._replace(lines=tuple(changed), **now)
        case LineRemoved(_, sku):
            return row._replace(lines=tuple(line for line in row.lines if line.sku != sku), **now)
        case LinesReturned(_, returned, reason):
            back: Counter[str] = Counter()
            for line in returned:
                back[line.sku] += line.quantity
            lines = tuple(line._replace(returned=line.returned + back[line.sku]) for line in row.lines)
            everything = all(line.returned == line.quantity for line in lines)
            status = "returned" if everything else row.status
            return row._replace(lines=lines, status=status, reason=reason.reason if reason else None, **now)
    assert_never(event)
