"""The public events: what services around the order log tell each other, one topic each (schemas/topics.py).

They are a contract of their own, apart from the events of the log (schemas/events.py), so that either can change alone.
`OrderPlaced` and `OrderChanged` carry the whole order, the others who it is about and where to ask. Money is in the
minor units of the order's currency. `personal_data` stands apart, as in the log, and is None once it was erased.
"""

from uuid import UUID

from msgspec import Struct

from schemas.events import Contact


class Line(Struct, frozen=True):
    """One line of an order: `quantity` pieces of `sku` at `unit_price` minor units each."""

    sku: str
    quantity: int
    unit_price: int


class ReturnedLine(Struct, frozen=True):
    """`quantity` pieces of `sku` sent back by the customer."""

    sku: str
    quantity: int


class Shortage(Struct, frozen=True):
    """`wanted` pieces of `sku` were ordered, and only `available` were not reserved for others."""

    sku: str
    wanted: int
    available: int


class WholeOrder(Struct, frozen=True):
    """An order as it is at `order_version`."""

    order_id: UUID
    order_version: int
    customer_id: str
    currency: str
    lines: tuple[Line, ...]
    total: int
    personal_data: Contact | None


class Notification(Struct, frozen=True):
    """Something happened to an order, now at `order_version`; the query API tells the rest at the path `ask_at`."""

    order_id: UUID
    order_version: int
    ask_at: str


class OrderPlaced(WholeOrder, frozen=True):
    """A customer placed an order: all of it."""


class OrderChanged(WholeOrder, frozen=True):
    """An open order has other lines or another address: all of it, as it is now."""


class OrderConfirmed(Notification, frozen=True):
    """The order is binding; its lines are fixed from here on."""


class OrderRejected(Notification, frozen=True):
    """The shop will not deliver the order."""


class OrderCancelled(Notification, frozen=True):
    """The order was called off before it was shipped."""


class OrderShipped(Notification, frozen=True):
    """The order was handed to `carrier`, whose number for it is `tracking`."""

    carrier: str
    tracking: str


class OrderDelivered(Notification, frozen=True):
    """The carrier reported delivery."""


class OrderReturned(Notification, frozen=True):
    """The customer sent pieces of a delivered order back."""

    lines: tuple[ReturnedLine, ...]


class InventoryReserved(Struct, frozen=True):
    """All lines of the order, as it was at `order_version`, are reserved for it."""

    order_id: UUID
    order_version: int


class InventoryRejected(Struct, frozen=True):
    """Nothing is reserved for the order: as it was at `order_version`, not all of its lines are in stock."""

    order_id: UUID
    order_version: int
    short: tuple[Shortage, ...]


PublicEvent = (
    OrderPlaced
    | OrderChanged
    | OrderConfirmed
    | OrderRejected
    | OrderCancelled
    | OrderShipped
    | OrderDelivered
    | OrderReturned
    | InventoryReserved
    | InventoryRejected
)
