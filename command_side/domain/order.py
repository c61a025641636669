"""The order aggregate: the state that commands are decided on, folded from its events."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import assert_never
from uuid import UUID

from schemas.events import (
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
    UnknownEvent,
)


class Status(StrEnum):
    """Where an order is in its life."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    PAID = "paid"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    RETURNED = "returned"


@dataclass(frozen=True, slots=True)
class Order:
    """An order as the write side knows it; amounts in minor units of `currency`.

    `version` is the number of its events. `returned` maps a sku to the pieces that came back. `unknown` is the type of
    an event that this release does not know; with one, nothing else here can be relied on but the version.
    Personal data is not here: no decision needs it.
    """

    order_id: UUID
    customer_id: str
    currency: str
    lines: tuple[Line, ...]
    status: Status = Status.OPEN
    version: int = 1
    paid: int = 0
    refunded: int = 0
    payments: frozenset[str] = frozenset()
    returned: Mapping[str, int] = field(default_factory=dict)
    unknown: str = ""

    @property
    def total(self) -> int:
        """What all lines cost together."""
        return sum(line.quantity * line.unit_price for line in self.lines)

    @property
    def outstanding(self) -> int:
        """What is still to be paid."""
        return self.total - self.paid

    def line(self, sku: str) -> Line | None:
        """The line of `sku`, if there is one."""
        return next((line for line in self.lines if line.sku == sku), None)

    def returnable(self, sku: str) -> int:
        """How many pieces of `sku` were bought and did not come back."""
        line = self.line(sku)
        return line.quantity - self.returned.get(sku, 0) if line else 0

    def changed(
        self,
        *,
        lines: tuple[Line, ...] | None = None,
        status: Status | None = None,
        paid: int | None = None,
        refunded: int | None = None,
        payments: frozenset[str] | None = None,
        returned: Mapping[str, int] | None = None,
        unknown: str | None = None,
    ) -> "Order":
        """The order one event later, with what is given changed. `dataclasses.replace` takes three times as long."""
        return Order(
            self.order_id,
            self.customer_id,
            self.currency,
            self.lines if lines is None else lines,
            self.status if status is None else status,
            self.version + 1,
            self.paid if paid is None else paid,
            self.refunded if refunded is None else refunded,
            self.payments if payments is None else payments,
            self.returned if returned is None else returned,
            self.unknown if unknown is None else unknown,
        )


def evolve(order: Order | None, event: OrderEvent | UnknownEvent) -> Order:
    """The order after `event`. Raises ValueError at an event without the OrderPlaced it needs before it."""
    if type(event) is UnknownEvent:
        # It may have placed the order, in a way of its own.
        return order.changed(unknown=event.type) if order else Order(event.order_id, "", "", (), unknown=event.type)
    if order and order.unknown:
        return order.changed()  # whatever is folded onto it cannot be relied on
    if isinstance(event, OrderPlaced):
        return Order(event.order_id, event.customer_id, event.currency, event.lines)
    if order is None:
        raise ValueError(f"{type(event).__name__} of order {event.order_id}, which was never placed")
    match event:
        case LineAdded(_, sku, quantity, unit_price):
            return order.changed(lines=(*order.lines, Line(sku, quantity, unit_price)))
        case LineQuantityChanged(_, sku, quantity):
            lines = (Line(sku, quantity, line.unit_price) if line.sku == sku else line for line in order.lines)
            return order.changed(lines=tuple(lines))
        case LineRemoved(_, sku):
            return order.changed(lines=tuple(line for line in order.lines if line.sku != sku))
        case ShippingAddressChanged():
            return order.changed()
        case OrderConfirmed(_, total):
            return order.changed(status=Status.CONFIRMED if total else Status.PAID)
        case OrderRejected():
            return order.changed(status=Status.REJECTED)
        case PaymentRecorded():
            return _paid(order, event)
        case OrderShipped():
            return order.changed(status=Status.SHIPPED)
        case OrderDelivered():
            return order.changed(status=Status.DELIVERED)
        case OrderCancelled():
            return order.changed(status=Status.CANCELLED)
        case LinesReturned():
            return _returned(order, event)
        case PaymentRefunded(_, amount):
            return order.changed(refunded=order.refunded + amount)
    assert_never(event)


def _paid(order: Order, payment: PaymentRecorded) -> Order:
    status = order.status if payment.amount < order.outstanding else Status.PAID
    return order.changed(paid=order.paid + payment.amount, payments=order.payments | {payment.reference}, status=status)


def _returned(order: Order, event: LinesReturned) -> Order:
    returned = dict(order.returned)
    for line in event.lines:
        returned[line.sku] = returned.get(line.sku, 0) + line.quantity
    everything = all(returned.get(line.sku, 0) == line.quantity for line in order.lines)
    return order.changed(returned=returned, status=Status.RETURNED if everything else order.status)
