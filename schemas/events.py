"""The events of an order: what the log says happened.

Each class has one Avro schema of the same name in `schemas/avro/`. Money is an integer in the
minor units of the order's currency (cents for EUR). Personal data (email, name, address, free
text) stands together in `personal_data`, a record of its own that is encoded apart, so that it
can be encrypted and its key erased without touching the log. It is None once it was erased.

They are msgspec structs, which are made in a fifth of the time of a frozen dataclass. None has a part that it is itself
part of, so the cycle collector need not know them (`gc`).
"""

from typing import final
from uuid import UUID

from msgspec import Struct

SKU_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""What a sku looks like, for whoever takes one."""


class Line(Struct, frozen=True, gc=False):
    """One line of an order: `quantity` pieces of `sku` at `unit_price` minor units each."""

    sku: str
    quantity: int
    unit_price: int


class ReturnedLine(Struct, frozen=True, gc=False):
    """`quantity` pieces of `sku` sent back by the customer."""

    sku: str
    quantity: int


class Address(Struct, frozen=True, gc=False):
    """Where an order is shipped to; `country` is an ISO 3166-1 alpha-2 code."""

    name: str
    street: str
    city: str
    postal_code: str
    country: str


class Contact(Struct, frozen=True, gc=False):
    """Personal data of an order that was placed."""

    email: str
    shipping_address: Address


class Destination(Struct, frozen=True, gc=False):
    """Personal data of a changed shipping address."""

    shipping_address: Address


class Reason(Struct, frozen=True, gc=False):
    """Free text written by a person, so treated as personal data."""

    reason: str


class OrderPlaced(Struct, frozen=True, gc=False):
    """A customer placed an order. `currency` is an ISO 4217 code."""

    order_id: UUID
    customer_id: str
    currency: str
    lines: tuple[Line, ...]
    personal_data: Contact | None


class LineAdded(Struct, frozen=True, gc=False):
    """A line was added to an open order."""

    order_id: UUID
    sku: str
    quantity: int
    unit_price: int


class LineQuantityChanged(Struct, frozen=True, gc=False):
    """The quantity of a line is now `quantity`."""

    order_id: UUID
    sku: str
    quantity: int


class LineRemoved(Struct, frozen=True, gc=False):
    """A line was taken off an open order."""

    order_id: UUID
    sku: str


class ShippingAddressChanged(Struct, frozen=True, gc=False):
    """An open order goes to another address."""

    order_id: UUID
    personal_data: Destination | None


class OrderConfirmed(Struct, frozen=True, gc=False):
    """The order is binding at `total`; its lines are fixed from here on."""

    order_id: UUID
    total: int


class OrderRejected(Struct, frozen=True, gc=False):
    """The shop will not deliver the order (no stock, say)."""

    order_id: UUID
    personal_data: Reason | None


class PaymentRecorded(Struct, frozen=True, gc=False):
    """`amount` was received; `reference` is the payment provider's, `method` how it was paid, None if not said."""

    order_id: UUID
    amount: int
    reference: str
    method: str | None = None


class OrderShipped(Struct, frozen=True, gc=False):
    """The order was handed to `carrier`, in `parcels` by their tracking numbers; `tracking` is the first one's."""

    order_id: UUID
    carrier: str
    tracking: str
    parcels: tuple[str, ...] = ()


class OrderDelivered(Struct, frozen=True, gc=False):
    """The carrier reported delivery."""

    order_id: UUID


class OrderCancelled(Struct, frozen=True, gc=False):
    """The order was called off before it was shipped."""

    order_id: UUID
    personal_data: Reason | None


class LinesReturned(Struct, frozen=True, gc=False):
    """The customer sent pieces of a delivered order back."""

    order_id: UUID
    lines: tuple[ReturnedLine, ...]
    personal_data: Reason | None


class PaymentRefunded(Struct, frozen=True, gc=False):
    """`amount` goes back to the customer, after a cancellation or a return."""

    order_id: UUID
    amount: int


OrderEvent = (
    OrderPlaced
    | LineAdded
    | LineQuantityChanged
    | LineRemoved
    | ShippingAddressChanged
    | OrderConfirmed
    | OrderRejected
    | PaymentRecorded
    | OrderShipped
    | OrderDelivered
    | OrderCancelled
    | LinesReturned
    | PaymentRefunded
)


@final
class UnknownEvent(Struct, frozen=True, gc=False):
    """An event of a `type` that this release does not know, since a newer one wrote it. Nothing else of it is read."""

    order_id: UUID
    type: str


@final
class WriterElected(Struct, frozen=True, gc=False):
    """The barrier a partition's new writer appends before it serves.

    Nothing of an older writer can follow it: the broker refuses the older producer epoch, and
    readers drop events that carry a term lower than this `term`. It belongs to no order.
    """

    writer_id: str
    term: int
    producer_id: int
    producer_epoch: int
    advertised_url: str


LogEvent = OrderEvent | UnknownEvent | WriterElected


def type_of(event: LogEvent) -> str:
    """The name of the event's type."""
    return event.type if type(event) is UnknownEvent else type(event).__name__
