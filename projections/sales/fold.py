"""What each event does to an order and to the sums over all orders. Pure.

Revenue is the payments recorded less the refunds, each in the minute, hour and day (UTC) of its own event, in
minor units of the order's currency: a refund lowers the day on which it was given, not the day of the sale.
Pieces count as sold from the order's confirmation, and no more once it is cancelled or they were returned.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple, assert_never

from schemas.events import (
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

SPANS = {"minute": 60, "hour": 3_600, "day": 86_400}


class SoldLine(NamedTuple):
    """A line of an order, with what came back of it."""

    sku: str
    quantity: int
    unit_price: int
    returned: int = 0


class Order(NamedTuple):
    """What the sums need to know of an order; `version` is the number of its events."""

    version: int
    status: str
    customer_id: str
    currency: str
    lines: tuple[SoldLine, ...]
    paid: int = 0


class Key(NamedTuple):
    """Which sum: `status` by its name, `minute`, `hour` and `day` by their first second, `sku`, `customer`."""

    kind: str
    name: str | int
    currency: str = ""


# status: orders. minute, hour, day: orders placed, payments, refunds. sku: pieces, revenue. customer: orders, revenue.
WIDTHS = {"status": 1, "minute": 3, "hour": 3, "day": 3, "sku": 2, "customer": 2}
Change = tuple[Key, tuple[int, ...]]


def fold(order: Order | None, event: OrderEvent, version: int, at: datetime) -> tuple[Order, list[Change]]:
    """The order after `event`, its `version`th, which happened `at`; and what to add to which sums.

    Raises ValueError when it is not the next one of this order: something was lost, or came twice.
    """
    if version != (order.version if order else 0) + 1:
        raise ValueError(f"version {version} of order {event.order_id} follows {order.version if order else 0}")
    if order is None:
        if not isinstance(event, OrderPlaced):
            raise ValueError(f"order {event.order_id} begins with {type(event).__name__}")
        lines = tuple(SoldLine(line.sku, line.quantity, line.unit_price) for line in event.lines)
        placed = Order(version, "open", event.customer_id, event.currency, lines)
        counted = (Key("status", "open"), (1,)), (Key("customer", placed.customer_id, placed.currency), (1, 0))
        return placed, [*counted, *_in_time(placed, at, (1, 0, 0))]
    after = _apply(order, event)._replace(version=version)
    moved: list[Change] = []
    if after.status != order.status:
        moved = [(Key("status", order.status), (-1,)), (Key("status", after.status), (1,))]
    return after, [*moved, *_goods(order, event), *_money(order, event, at)]


def _apply(order: Order, event: OrderEvent) -> Order:
    match event:
        case OrderPlaced():
            raise ValueError(f"order {event.order_id} was placed twice")
        case LineAdded() | LineQuantityChanged() | LineRemoved() | LinesReturned():
            return _lines(order, event)
        case OrderConfirmed(_, total):
            return order._replace(status="confirmed" if total else "paid")
        case OrderRejected():
            return order._replace(status="rejected")
        case PaymentRecorded(_, amount):
            paid = order.paid + amount
            total = sum(line.quantity * line.unit_price for line in order.lines)
            return order._replace(paid=paid, status="paid" if paid >= total else order.status)
        case OrderShipped():
            return order._replace(status="shipped")
        case OrderDelivered():
            return order._replace(status="delivered")
        case OrderCancelled():
            return order._replace(status="cancelled")
        case ShippingAddressChanged() | PaymentRefunded():
            return order
    assert_never(event)


def _lines(order: Order, event: LineAdded | LineQuantityChanged | LineRemoved | LinesReturned) -> Order:
    match event:
        case LineAdded(_, sku, quantity, unit_price):
            return order._replace(lines=(*order.lines, SoldLine(sku, quantity, unit_price)))
        case LineQuantityChanged(_, sku, quantity):
            changed = (line._replace(quantity=quantity) if line.sku == sku else line for line in order.lines)
            return order._replace(lines=tuple(changed))
        case LineRemoved(_, sku):
            return order._replace(lines=tuple(line for line in order.lines if line.sku != sku))
        case LinesReturned():
            back = _returned(event)
            lines = tuple(line._replace(returned=line.returned + back[line.sku]) for line in order.lines)
            everything = all(line.returned == line.quantity for line in lines)
            return order._replace(lines=lines, status="returned" if everything else order.status)
    assert_never(event)


def _goods(order: Order, event: OrderEvent) -> Iterator[Change]:
    """Pieces and what they cost, of each sku that was sold, or is no longer."""
    match event:
        case OrderConfirmed():
            sold = {line.sku: line.quantity for line in order.lines}
        case OrderCancelled() if order.status != "open":
            sold = {line.sku: -line.quantity for line in order.lines}
        case LinesReturned():
            sold = {sku: -pieces for sku, pieces in _returned(event).items()}
        case _:
            return
    for line in order.lines:
        if pieces := sold.get(line.sku, 0):
            yield Key("sku", line.sku, order.currency), (pieces, pieces * line.unit_price)


def _money(order: Order, event: OrderEvent, at: datetime) -> Iterator[Change]:
    match event:
        case PaymentRecorded(_, amount):
            yield Key("customer", order.customer_id, order.currency), (0, amount)
            yield from _in_time(order, at, (0, amount, 0))
        case PaymentRefunded(_, amount):
            yield Key("customer", order.customer_id, order.currency), (0, -amount)
            yield from _in_time(order, at, (0, 0, amount))


def _in_time(order: Order, at: datetime, change: tuple[int, ...]) -> Iterator[Change]:
    second = int(at.timestamp())
    for kind, length in SPANS.items():
        yield Key(kind, second - second % length, order.currency), change


def _returned(event: LinesReturned) -> Counter[str]:
    back: Counter[str] = Counter()
    for line in event.lines:
        back[line.sku] += line.quantity
    return back
