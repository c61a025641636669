"""Which texts of an order people search for: its address, and the references that others know it by. Pure."""

from typing import NamedTuple

from schemas.events import (
    Address,
    OrderEvent,
    OrderPlaced,
    OrderShipped,
    PaymentRecorded,
    ShippingAddressChanged,
    UnknownEvent,
)

ADDRESS = 0


class OrderText(NamedTuple):
    """A text of an order; one from the same `source` takes the place of the one before."""

    source: int
    text: str


def text_of(event: OrderEvent | UnknownEvent, version: int) -> OrderText | None:
    """The text that `event`, its order's `version`th, brings. An address that was erased is an empty one."""
    match event:
        case OrderPlaced() | ShippingAddressChanged():
            personal = event.personal_data
            return OrderText(ADDRESS, _written(personal.shipping_address) if personal else "")
        case PaymentRecorded():
            return OrderText(version, event.reference)
        case OrderShipped():
            return OrderText(version, " ".join(event.parcels) or event.tracking)
        case _:
            return None


def _written(address: Address) -> str:
    return f"{address.name} {address.street} {address.city} {address.postal_code} {address.country}"
