"""What each event of the log says to the world, and what has to be known of an order for that. Pure."""

from typing import assert_never
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from schemas import public_events as public
from schemas.events import (
    Contact,
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
from schemas.public_events import PublicEvent


class OpenOrder(Struct, frozen=True):
    """An order that can still change, as it is after its event of number `version`; unit prices in minor units."""

    order_id: UUID
    version: int
    customer_id: str
    currency: str
    lines: tuple[public.Line, ...]
    contact: Contact | None


_Change = LineAdded | LineQuantityChanged | LineRemoved | ShippingAddressChanged


def fold(order: OpenOrder | None, event: OrderEvent, version: int) -> tuple[OpenOrder | None, PublicEvent | None]:
    """The order after `event`, its `version`th, None unless it is open; and what the world is told, if anything.

    Versions may leave out numbers: not every event comes here. Raises ValueError when the event does not follow what
    is known of the order.
    """
    if order and version <= order.version:
        raise ValueError(f"version {version} of order {event.order_id} follows {order.version}")
    match event:
        case OrderPlaced():
            if order:
                raise ValueError(f"order {event.order_id} was placed twice")
            placed = _placed(event, version)
            return placed, public.OrderPlaced(*_whole(placed))
        case LineAdded() | LineQuantityChanged() | LineRemoved() | ShippingAddressChanged():
            changed = _changed(_open(order, event), event, version)
            return changed, public.OrderChanged(*_whole(changed))
        case OrderConfirmed() | OrderRejected():
            _open(order, event)
            return None, _thin(event, version)
        case OrderCancelled():
            return None, _thin(event, version)
        case OrderShipped() | OrderDelivered() | LinesReturned():
            if order:
                raise ValueError(f"order {event.order_id} is open, and {type(event).__name__} is of one that is not")
            return None, _thin(event, version)
        case PaymentRecorded() | PaymentRefunded():
            return order, None
    assert_never(event)


def _open(order: OpenOrder | None, event: OrderEvent) -> OpenOrder:
    if order is None:
        raise ValueError(f"order {event.order_id} is not open, and {type(event).__name__} is of one that is")
    return order


def _placed(event: OrderPlaced, version: int) -> OpenOrder:
    lines = tuple(public.Line(line.sku, line.quantity, line.unit_price) for line in event.lines)
    return OpenOrder(event.order_id, version, event.customer_id, event.currency, lines, event.personal_data)


def _changed(order: OpenOrder, event: _Change, version: int) -> OpenOrder:
    match event:
        case LineAdded():
            added = public.Line(event.sku, event.quantity, event.unit_price)
            return replace(order, version=version, lines=(*order.lines, added))
        case LineQuantityChanged():
            lines = (replace(line, quantity=event.quantity) if line.sku == event.sku else line for line in order.lines)
            return replace(order, version=version, lines=tuple(lines))
        case LineRemoved():
            kept = tuple(line for line in order.lines if line.sku != event.sku)
            return replace(order, version=version, lines=kept)
        case ShippingAddressChanged():
            contact = None
            if order.contact and event.personal_data:
                contact = Contact(order.contact.email, event.personal_data.shipping_address)
            return replace(order, version=version, contact=contact)
    assert_never(event)


def _whole(
    order: OpenOrder,
) -> tuple[UUID, int, str, str, tuple[public.Line, ...], int, Contact | None]:
    total = sum(line.quantity * line.unit_price for line in order.lines)
    return order.order_id, order.version, order.customer_id, order.currency, order.lines, total, order.contact


def _thin(
    event: OrderConfirmed | OrderRejected | OrderCancelled | OrderShipped | OrderDelivered | LinesReturned, version: int
) -> PublicEvent:
    about = (event.order_id, version, f"/orders/{event.order_id}")
    match event:
        case OrderConfirmed():
            return public.OrderConfirmed(*about)
        case OrderRejected():
            return public.OrderRejected(*about)
        case OrderCancelled():
            return public.OrderCancelled(*about)
        case OrderShipped():
            return public.OrderShipped(*about, event.carrier, event.tracking)
        case OrderDelivered():
            return public.OrderDelivered(*about)
        case LinesReturned():
            lines = tuple(public.ReturnedLine(line.sku, line.quantity) for line in event.lines)
            return public.OrderReturned(*about, lines)
    assert_never(event)
