"""What a command does to an order: events, or a rejection. Pure: time and ids come in with the command."""

from collections import Counter
from collections.abc import Sequence
from typing import assert_never

from command_side.domain import limits, rejections
from command_side.domain.commands import (
    AddLine,
    CancelOrder,
    ChangeLineQuantity,
    ChangeShippingAddress,
    Command,
    ConfirmOrder,
    DeliverOrder,
    PlaceOrder,
    RecordPayment,
    RejectOrder,
    RemoveLine,
    ReturnLines,
    ShipOrder,
)
from command_side.domain.order import Order, Status
from command_side.domain.rejections import Rejection
from schemas.events import (
    Contact,
    Destination,
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
    Reason,
    ReturnedLine,
    ShippingAddressChanged,
)

Decision = tuple[OrderEvent, ...] | Rejection

# The state machine: in which states an existing order takes which command.
ALLOWED: dict[type[Command], tuple[Status, ...]] = {
    AddLine: (Status.OPEN,),
    ChangeLineQuantity: (Status.OPEN,),
    RemoveLine: (Status.OPEN,),
    ChangeShippingAddress: (Status.OPEN,),
    ConfirmOrder: (Status.OPEN,),
    RejectOrder: (Status.OPEN,),
    RecordPayment: (Status.CONFIRMED,),
    ShipOrder: (Status.PAID,),
    DeliverOrder: (Status.SHIPPED,),
    CancelOrder: (Status.OPEN, Status.CONFIRMED, Status.PAID),
    ReturnLines: (Status.DELIVERED,),
}


def decide(command: Command, order: Order | None) -> Decision:
    """The events that `command` causes, at least one, or why it causes none. Changes nothing."""
    if isinstance(command, PlaceOrder):
        return rejections.order_exists(order) if order else _place(command)
    if order is None:
        return rejections.order_not_found(command.order_id)
    if order.unknown:
        return rejections.newer_release_needed(order)
    allowed = ALLOWED[type(command)]
    if order.status not in allowed:
        return rejections.wrong_status(order, type(command).__name__, " or ".join(allowed))
    return _decide(command, order)


def _decide(command: Command, order: Order) -> Decision:
    match command:
        case PlaceOrder():
            return rejections.order_exists(order)
        case AddLine():
            return _add_line(command, order)
        case ChangeLineQuantity():
            return _change_quantity(command, order)
        case RemoveLine():
            return _remove_line(command, order)
        case ChangeShippingAddress(order_id, address):
            return (ShippingAddressChanged(order_id, Destination(address)),)
        case ConfirmOrder(order_id):
            return (OrderConfirmed(order_id, order.total),)
        case RejectOrder(order_id, reason):
            return (OrderRejected(order_id, Reason(reason)),)
        case RecordPayment():
            return _record_payment(command, order)
        case ShipOrder():
            return _ship(command, order)
        case DeliverOrder(order_id):
            return (OrderDelivered(order_id),)
        case CancelOrder():
            return _cancel(command, order)
        case ReturnLines():
            return _return_lines(command, order)
    assert_never(command)


def _place(command: PlaceOrder) -> Decision:
    if command.currency not in limits.CURRENCIES:
        return rejections.unknown_currency(command.currency)
    if not command.lines:
        return rejections.invalid_command(None, "an order needs at least one line")
    if len(command.lines) > limits.MAX_LINES:
        return rejections.too_many_lines(None, limits.MAX_LINES)
    if problem := _duplicates(command.lines, None) or _impossible(command.lines, None):
        return problem
    contact = Contact(command.email, command.shipping_address)
    return (OrderPlaced(command.order_id, command.customer_id, command.currency, command.lines, contact),)


def _add_line(command: AddLine, order: Order) -> Decision:
    if order.line(command.sku):
        return rejections.line_exists(order, command.sku)
    if len(order.lines) >= limits.MAX_LINES:
        return rejections.too_many_lines(order, limits.MAX_LINES)
    line = Line(command.sku, command.quantity, command.unit_price)
    return _impossible([line], order) or (LineAdded(command.order_id, line.sku, line.quantity, line.unit_price),)


def _change_quantity(command: ChangeLineQuantity, order: Order) -> Decision:
    line = order.line(command.sku)
    if line is None:
        return rejections.line_not_found(order, command.sku)
    changed = Line(line.sku, command.quantity, line.unit_price)
    return _impossible([changed], order) or (LineQuantityChanged(command.order_id, command.sku, command.quantity),)


def _remove_line(command: RemoveLine, order: Order) -> Decision:
    if order.line(command.sku) is None:
        return rejections.line_not_found(order, command.sku)
    if len(order.lines) == 1:
        return rejections.last_line(order)
    return (LineRemoved(command.order_id, command.sku),)


def _record_payment(command: RecordPayment, order: Order) -> Decision:
    if command.amount < 1:
        return rejections.invalid_command(order, f"a payment of {command.amount} is none; amounts start at 1")
    if command.reference in order.payments:
        return rejections.payment_known(order, command.reference)
    if command.amount > order.outstanding:
        return rejections.overpaid(order, command.amount)
    return (PaymentRecorded(command.order_id, command.amount, command.reference, command.method),)


def _ship(command: ShipOrder, order: Order) -> Decision:
    parcels = command.parcels
    if not 1 <= len(parcels) <= limits.MAX_PARCELS:
        return rejections.invalid_command(order, f"{len(parcels)} parcels are not 1 to {limits.MAX_PARCELS}")
    if len(set(parcels)) < len(parcels):
        return rejections.invalid_command(order, "parcels names one of them twice")
    return (OrderShipped(command.order_id, command.carrier, parcels[0], parcels),)


def _cancel(command: CancelOrder, order: Order) -> Decision:
    cancelled = OrderCancelled(command.order_id, Reason(command.reason))
    return (cancelled, PaymentRefunded(command.order_id, order.paid)) if order.paid else (cancelled,)


def _return_lines(command: ReturnLines, order: Order) -> Decision:
    if not command.lines:
        return rejections.invalid_command(order, "a return needs at least one line")
    if problem := _duplicates(command.lines, order):
        return problem
    refund = 0
    for returned in command.lines:
        line = order.line(returned.sku)
        if line is None:
            return rejections.line_not_found(order, returned.sku)
        if returned.quantity < 1:
            return rejections.invalid_command(order, f"{returned.quantity} of {returned.sku} cannot come back")
        if returned.quantity > order.returnable(returned.sku):
            return rejections.too_many_returned(order, returned.sku, returned.quantity)
        refund += returned.quantity * line.unit_price
    event = LinesReturned(command.order_id, command.lines, Reason(command.reason))
    return (event, PaymentRefunded(command.order_id, refund)) if refund else (event,)


def _duplicates(lines: Sequence[Line] | Sequence[ReturnedLine], order: Order | None) -> Rejection | None:
    if len({line.sku for line in lines}) == len(lines):
        return None
    sku, _ = Counter(line.sku for line in lines).most_common(1)[0]
    return rejections.duplicate_sku(order, sku)


def _impossible(lines: Sequence[Line], order: Order | None) -> Rejection | None:
    for line in lines:
        if not limits.SKU.fullmatch(line.sku):
            return rejections.invalid_command(order, f"{line.sku!r} is not a sku: letters, digits and . _ - only")
        if not 1 <= line.quantity <= limits.MAX_QUANTITY:
            return rejections.invalid_command(
                order, f"a quantity of {line.quantity} is not in 1 to {limits.MAX_QUANTITY}"
            )
        if not 0 <= line.unit_price <= limits.MAX_UNIT_PRICE:
            detail = f"a unit price of {line.unit_price} is not in 0 to {limits.MAX_UNIT_PRICE}"
            return rejections.invalid_command(order, detail)
    return None
