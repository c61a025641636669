"""What can be asked of an order. Amounts are in the minor units of the order's currency."""

from dataclasses import dataclass
from uuid import UUID

from schemas.events import Address, Line, ReturnedLine


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """Place a new order."""

    order_id: UUID
    customer_id: str
    email: str
    currency: str
    lines: tuple[Line, ...]
    shipping_address: Address


@dataclass(frozen=True, slots=True)
class AddLine:
    """Add a line to an open order."""

    order_id: UUID
    sku: str
    quantity: int
    unit_price: int


@dataclass(frozen=True, slots=True)
class ChangeLineQuantity:
    """Set the quantity of a line of an open order."""

    order_id: UUID
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class RemoveLine:
    """Take a line off an open order."""

    order_id: UUID
    sku: str


@dataclass(frozen=True, slots=True)
class ChangeShippingAddress:
    """Send an open order elsewhere."""

    order_id: UUID
    shipping_address: Address


@dataclass(frozen=True, slots=True)
class ConfirmOrder:
    """Make an open order binding."""

    order_id: UUID


@dataclass(frozen=True, slots=True)
class RejectOrder:
    """Refuse an open order, for want of stock, say."""

    order_id: UUID
    reason: str


@dataclass(frozen=True, slots=True)
class RecordPayment:
    """Record money received for a confirmed order."""

    order_id: UUID
    amount: int
    reference: str
    method: str | None = None


@dataclass(frozen=True, slots=True)
class ShipOrder:
    """Record that a paid order was handed to a carrier, in `parcels` by their tracking numbers."""

    order_id: UUID
    carrier: str
    parcels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeliverOrder:
    """Record that a shipped order arrived."""

    order_id: UUID


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Call an order off before it is shipped; what was paid is refunded."""

    order_id: UUID
    reason: str


@dataclass(frozen=True, slots=True)
class ReturnLines:
    """Take pieces of a delivered order back and refund them."""

    order_id: UUID
    lines: tuple[ReturnedLine, ...]
    reason: str


Command = (
    PlaceOrder
    | AddLine
    | ChangeLineQuantity
    | RemoveLine
    | ChangeShippingAddress
    | ConfirmOrder
    | RejectOrder
    | RecordPayment
    | ShipOrder
    | DeliverOrder
    | CancelOrder
    | ReturnLines
)
