"""What each event does to an order and to the sums over all orders. Pure.

Revenue is the payments recorded less the refunds, each in the minute, hour and day (UTC) of its own event, in
minor units of the order's currency: a refund lowers the day on which it was given, not the day of the sale.
Pieces count as sold from the order's confirmation, and no more once it is cancelled or they were returned.
"""

from collections import Counter
from datetime import datetime
from functools import lru_cache
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

_STATUSES = ("open", "confirmed", "rejected", "paid", "shipped", "delivered", "cancelled", "returned")
_STATUS = {status: Key("status", status) for status in _STATUSES}


def fold(order: Order | None, event: OrderEvent, version: int, at: datetime) -> tuple[Order, list[Change]]:
    """The order after `event`, its `version`th, which happened `at`; and what to add to which sums.

    Raises ValueError when it is not the next one of this order: something was lost, or came twice.
    """
    if version != (order.version if order else 0) + 1:
        raise ValueError(f"version {version} of order {event.order_id} follows {order.version if order else 0}")
    if order is None:
        if not isinstance(event, OrderPlaced):
            raise ValueError(f"order {event.order_id} begins with {type(event).__name__}")
        return _placed(event, at)
    status, lines, paid = _apply(order, event)
    changes = _goods(order, event) + _money(order, event, at)
    if status != order.status:
        changes += ((_STATUS[order.status], (-1,)), (_STATUS[status], (1,)))
    # Built anew, which costs half of what _replace does.
    return Order(version, status, order.customer_id, order.currency, lines, paid), changes


def _placed(event: OrderPlaced, at: datetime) -> tuple[Order, list[Change]]:
    lines = tuple(SoldLine(line.sku, line.quantity, line.unit_price) for line in event.lines)
    order = Order(1, "open", event.customer_id, event.currency, lines)
    counted = (_STATUS["open"], (1,)), (Key("customer", order.customer_id, order.currency), (1, 0))
    return order, [*counted, *_in_time(order, at, (1, 0, 0))]


def _apply(order: Order, event: OrderEvent) -> tuple[str, tuple[SoldLine, ...], int]:
    """Status, lines and what was paid, after `event`."""
    status, lines, paid = order.status, order.lines, order.paid
    match event:
        case OrderPlaced():
            raise ValueError(f"order {event.order_id} was placed twice")
        case LineAdded() | LineQuantityChanged() | LineRemoved() | LinesReturned():
            return _lines(order, event)
        case OrderConfirmed(_, total):
            return "confirmed" if total else "paid", lines, paid
        case OrderRejected():
            return "rejected", lines, paid
        case PaymentRecorded(_, amount):
            paid += amount
            total = sum([line.quantity * line.unit_price for line in lines])
            return "paid" if paid >= total else status, lines, paid
        case OrderShipped():
            return "shipped", lines, paid
        case OrderDelivered():
            return "delivered", lines, paid
        case OrderCancelled():
            return "cancelled", lines, paid
        case ShippingAddressChanged() | PaymentRefunded():
            return status, lines, paid
    assert_never(event)


def _lines(
    order: Order, event: LineAdded | LineQuantityChanged | LineRemoved | LinesReturned
) -> tuple[str, tuple[SoldLine, ...], int]:
    lines, status = order.lines, order.status
    match event:
        case LineAdded(_, sku, quantity, unit_price):
            lines = (*lines, SoldLine(sku, quantity, unit_price))
        case LineQuantityChanged(_, sku, quantity):
            lines = tuple(line._replace(quantity=quantity) if line.sku == sku else line for line in lines)
        case LineRemoved(_, sku):
            lines = tuple(line for line in lines if line.sku != sku)
        case LinesReturned():
            back = _returned(event)
            lines = tuple(line._replace(returned=line.returned + back[line.sku]) for line in lines)
            if all(line.returned == line.quantity for line in lines):
                status = "returned"
        case _:
            assert_never(event)
    return status, lines, order.paid


def _goods(order: Order, event: OrderEvent) -> list[Change]:
    """Pieces and what they cost, of each sku that was sold, or is no longer."""
    match event:
        case OrderConfirmed():
            sold = {line.sku: line.quantity for line in order.lines}
        case OrderCancelled() if order.status != "open":
            sold = {line.sku: -line.quantity for line in order.lines}
        case LinesReturned():
            sold = {sku: -pieces for sku, pieces in _returned(event).items()}
        case _:
            return []
    return [
        (Key("sku", line.sku, order.currency), (sold[line.sku], sold[line.sku] * line.unit_price))
        for line in order.lines
        if line.sku in sold
    ]


def _money(order: Order, event: OrderEvent, at: datetime) -> list[Change]:
    match event:
        case PaymentRecorded(_, amount):
            customer = Key("customer", order.customer_id, order.currency)
            return [(customer, (0, amount)), *_in_time(order, at, (0, amount, 0))]
        case PaymentRefunded(_, amount):
            customer = Key("customer", order.customer_id, order.currency)
            return [(customer, (0, -amount)), *_in_time(order, at, (0, 0, amount))]
        case _:
            return []


def _in_time(order: Order, at: datetime, change: tuple[int, ...]) -> list[Change]:
    return [(key, change) for key in _stretches(int(at.timestamp()) // 60, order.currency)]


@lru_cache(1_000)
def _stretches(minute: int, currency: str) -> tuple[Key, ...]:
    second = minute * 60
    return tuple(Key(kind, second - second % length, currency) for kind, length in SPANS.items())


def _returned(event: LinesReturned) -> Counter[str]:
    back: Counter[str] = Counter()
    for line in event.lines:
        back[line.sku] += line.quantity
    return back
