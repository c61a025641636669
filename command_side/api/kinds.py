"""Every command of the API: its REST address, its body, and the domain's command that comes of them.

The one table that the routes (routes.py) and the lines of a bulk request (bulk.py) are made of.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import Path

from command_side.api import models
from command_side.domain import commands
from command_side.domain.commands import Command
from schemas.events import SKU_PATTERN

OrderId = Annotated[UUID, Path(description="the order's id")]
Sku = Annotated[str, Path(pattern=SKU_PATTERN, description="the line's sku")]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of command. `make` takes what `parts` names, by name; `success` is the status of an accepted one."""

    name: str
    method: str
    path: str
    success: int
    make: Callable[..., Command]
    parts: Mapping[str, Any]

    @property
    def in_path(self) -> dict[str, Any]:
        """The types of the parts that stand in the path."""
        return {name: part for name, part in self.parts.items() if f"{{{name}}}" in self.path}

    def address(self, command: Command) -> str:
        """The path of the REST request that asks for `command`."""
        return self.path.format(order_id=command.order_id, sku=getattr(command, "sku", ""))


KINDS: dict[str, Kind] = {}


def _kind(method: str, path: str, success: int = 200) -> Callable[[Callable[..., Command]], Callable[..., Command]]:
    def register(make: Callable[..., Command]) -> Callable[..., Command]:
        parts = {name: parameter.annotation for name, parameter in inspect.signature(make).parameters.items()}
        KINDS[make.__name__] = Kind(make.__name__, method, path, success, make, parts)
        return make

    return register


@_kind("POST", "/orders", success=201)
def place_order(order_id: OrderId, body: models.PlaceOrderBody) -> commands.PlaceOrder:
    """Place an order."""
    return commands.PlaceOrder(
        order_id=order_id,
        customer_id=body.customer_id,
        email=body.email,
        currency=body.currency,
        lines=tuple([line.to_line() for line in body.lines]),
        shipping_address=body.shipping_address.to_address(),
    )


@_kind("POST", "/orders/{order_id}/lines")
def add_line(order_id: OrderId, body: models.LineBody) -> commands.AddLine:
    """Add a line to an open order."""
    return commands.AddLine(order_id, body.sku, body.quantity, body.unit_price)


@_kind("PATCH", "/orders/{order_id}/lines/{sku}")
def change_line_quantity(order_id: OrderId, sku: Sku, body: models.QuantityBody) -> commands.ChangeLineQuantity:
    """Change the quantity of a line of an open order."""
    return commands.ChangeLineQuantity(order_id, sku, body.quantity)


@_kind("DELETE", "/orders/{order_id}/lines/{sku}")
def remove_line(order_id: OrderId, sku: Sku) -> commands.RemoveLine:
    """Take a line off an open order; the last one stays, cancel the order instead."""
    return commands.RemoveLine(order_id, sku)


@_kind("PUT", "/orders/{order_id}/shipping-address")
def change_shipping_address(order_id: OrderId, body: models.AddressBody) -> commands.ChangeShippingAddress:
    """Send an open order to another address."""
    return commands.ChangeShippingAddress(order_id, body.to_address())


@_kind("POST", "/orders/{order_id}/confirm")
def confirm_order(order_id: OrderId) -> commands.ConfirmOrder:
    """Confirm an open order: from here on it is binding."""
    return commands.ConfirmOrder(order_id)


@_kind("POST", "/orders/{order_id}/reject")
def reject_order(order_id: OrderId, body: models.ReasonBody) -> commands.RejectOrder:
    """Reject an open order that cannot be delivered."""
    return commands.RejectOrder(order_id, body.reason)


@_kind("POST", "/orders/{order_id}/payments")
def record_payment(order_id: OrderId, body: models.PaymentBody) -> commands.RecordPayment:
    """Record a payment for a confirmed order; several may add up to its total."""
    return commands.RecordPayment(order_id, body.amount, body.reference, body.method)


@_kind("POST", "/orders/{order_id}/ship")
def ship_order(order_id: OrderId, body: models.ShipmentBody) -> commands.ShipOrder:
    """Record that a paid order was handed to a carrier."""
    return commands.ShipOrder(order_id, body.carrier, body.numbers)


@_kind("POST", "/orders/{order_id}/deliver")
def deliver_order(order_id: OrderId) -> commands.DeliverOrder:
    """Record that a shipped order was delivered."""
    return commands.DeliverOrder(order_id)


@_kind("POST", "/orders/{order_id}/cancel")
def cancel_order(order_id: OrderId, body: models.ReasonBody) -> commands.CancelOrder:
    """Cancel an order that was not shipped yet; what was paid is refunded."""
    return commands.CancelOrder(order_id, body.reason)


@_kind("POST", "/orders/{order_id}/returns")
def return_lines(order_id: OrderId, body: models.ReturnBody) -> commands.ReturnLines:
    """Take pieces of a delivered order back and refund them."""
    return commands.ReturnLines(order_id, tuple([line.to_line() for line in body.lines]), body.reason)
