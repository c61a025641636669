"""What each event does to an order and to the sums over all orders. Pure.

Revenue is the payments recorded less the refunds, each in the minute, hour and day (UTC) of its own event, in
minor units of the order's currency: a refund lowers the day on which it was given, not the day of the sale.
Pieces count as sold from the order's confirmation, and no more once it is cancelled or they were returned.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

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
_LONGER = {kind: length for kind, length in SPANS.items() if kind != "minute"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


# Structs, which are made in a fifth of a tuple's time: several for each event.
class SoldLine(Struct, frozen=True, array_like=True, gc=False):
    """A line of an order, with what came back of it."""

    sku: str
    quantity: int
    unit_price: int
    returned: int = 0


class Order(Struct, frozen=True, array_like=True, gc=False):
    """What the sums need to know of an order; `version` is the number of its events."""

    version: int
    status: str
    customer_id: str
    currency: str
    lines: tuple[SoldLine, ...]
    paid: int = 0


class Key(Struct, frozen=True, gc=False):
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

    What is to be added to a minute is also to be added to its hour and its day: see `longer_spans`.
    Raises ValueError when it is not the next one of this order: something was lost, or came twice.
    """
    if version != (order.version if order else 0) + 1:
        raise ValueError(f"version {version} of order {event.order_id} follows {order.version if order else 0}")
    if order is None:
        if not isinstance(event, OrderPlaced):
            raise ValueError(f"order {event.order_id} begins with {type(event).__name__}")
        return _placed(event, at)
    status, lines, paid, changes = _apply(order, event, at)
    if status != order.status:
        changes += ((_STATUS[order.status], (-1,)), (_STATUS[status], (1,)))
    return Order(version, status, order.customer_id, order.currency, lines, paid), changes


def _placed(event: OrderPlaced, at: datetime) -> tuple[Order, list[Change]]:
    lines = tuple([SoldLine(line.sku, line.quantity, line.unit_price) for line in event.lines])
    order = Order(1, "open", event.customer_id, event.currency, lines)
    counted = (_STATUS["open"], (1,)), (Key("customer", order.customer_id, order.currency), (1, 0))
    return order, [*counted, (_minute(order, at), (1, 0, 0))]


After = tuple[str, tuple[SoldLine, ...], int, list[Change]]
"""Status, lines and what was paid, after an event, and what it adds to sums other than those of statuses."""


def _apply(order: Order, event: OrderEvent, at: datetime) -> After:
    status, lines, paid = order.status, order.lines, order.paid
    match event:  # what happens most comes first
        case OrderConfirmed():
            status = "confirmed" if event.total else "paid"
            return status, lines, paid, _sold(order, {line.sku: line.quantity for line in lines})
        case PaymentRecorded():
            paid += event.amount
            status = "paid" if paid >= sum([line.quantity * line.unit_price for line in lines]) else status
            return status, lines, paid, _money(order, at, event.amount, 0)
        case OrderShipped():
            return "shipped", lines, paid, []
        case OrderDelivered():
            return "delivered", lines, paid, []
        case PaymentRefunded():
            return status, lines, paid, _money(order, at, 0, event.amount)
        case OrderCancelled():
            off = {} if status == "open" else {line.sku: -line.quantity for line in lines}
            return "cancelled", lines, paid, _sold(order, off)
        case OrderRejected():
            return "rejected", lines, paid, []
        case LinesReturned():
            return _returned(order, event)
        case LineAdded() | LineQuantityChanged() | LineRemoved():
            return status, _lines(lines, event), paid, []
        case ShippingAddressChanged():
            return status, lines, paid, []
        case OrderPlaced():
            raise ValueError(f"order {event.order_id} was placed twice")
    assert_never(event)


def _lines(lines: tuple[SoldLine, ...], event: LineAdded | LineQuantityChanged | LineRemoved) -> tuple[SoldLine, ...]:
    match event:
        case LineAdded():
            return (*lines, SoldLine(event.sku, event.quantity, event.unit_price))
        case LineQuantityChanged():
            return tuple(replace(line, quantity=event.quantity) if line.sku == event.sku else line for line in lines)
        case LineRemoved():
            return tuple(line for line in lines if line.sku != event.sku)
    assert_never(event)


def _returned(order: Order, event: LinesReturned) -> After:
    back: Counter[str] = Counter()
    for line in event.lines:
        back[line.sku] += line.quantity
    lines = tuple(replace(line, returned=line.returned + back[line.sku]) for line in order.lines)
    all_back = all(line.returned == line.quantity for line in lines)
    changes = _sold(order, {sku: -pieces for sku, pieces in back.items()})
    return "returned" if all_back else order.status, lines, order.paid, changes


def _sold(order: Order, pieces: Mapping[str, int]) -> list[Change]:
    """So many more pieces of each sku, and what they cost."""
    return [
        (Key("sku", line.sku, order.currency), (pieces[line.sku], pieces[line.sku] * line.unit_price))
        for line in order.lines
        if line.sku in pieces
    ]


def _money(order: Order, at: datetime, paid: int, refunded: int) -> list[Change]:
    customer = Key("customer", order.customer_id, order.currency)
    return [(customer, (0, paid - refunded)), (_minute(order, at), (0, paid, refunded))]


def _minute(order: Order, at: datetime) -> Key:
    since = at - _EPOCH  # half the time of `timestamp`
    return Key("minute", since.days * SPANS["day"] + since.seconds // 60 * 60, order.currency)


def longer_spans(minute: Key) -> list[Key]:
    """The hour and the day that the minute is in."""
    assert isinstance(minute.name, int)
    return [Key(kind, minute.name - minute.name % length, minute.currency) for kind, length in _LONGER.items()]
