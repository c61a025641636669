"""The command API's routes: each turns a request into one command."""

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response

from command_side.api import models
from command_side.api.answers import execute
from command_side.api.direct import CommandRoute
from command_side.api.forwarding import forwarded_order_id
from command_side.api.preconditions import HEADERS, idempotency_key, new_order_id
from command_side.domain import commands, limits
from service.problems import documented

router = APIRouter(tags=["commands"], route_class=CommandRoute)
OrderId = Annotated[UUID, Path(description="the order's id")]
SkuPath = Annotated[str, Path(pattern=limits.SKU_PATTERN, description="the line's sku")]

_PROBLEMS = (400, 404, 409, 412, 413, 415, 422, 503)
_ANSWER_HEADERS = {
    "ETag": {"description": "the order's version, quoted", "schema": {"type": "string"}},
    "Orderlog-Position": {"description": "partition:offset of the last event", "schema": {"type": "string"}},
}


def _documented(success: int) -> dict[str, Any]:
    responses = {success: {"model": models.Answer, "headers": _ANSWER_HEADERS}, **documented(*_PROBLEMS)}
    return {"status_code": success, "responses": responses, "openapi_extra": HEADERS, "response_model": None}


def _command(method: str, path: str, success: int = 200) -> Callable[[Any], Any]:
    return router.api_route(path, methods=[method], **_documented(success))


@_command("POST", "/orders", success=201)
async def place_order(request: Request, body: models.PlaceOrderBody) -> Response:
    """Place an order."""
    command = commands.PlaceOrder(
        order_id=body.order_id or forwarded_order_id(request) or new_order_id(idempotency_key(request)),
        customer_id=body.customer_id,
        email=body.email,
        currency=body.currency,
        lines=tuple(line.to_line() for line in body.lines),
        shipping_address=body.shipping_address.to_address(),
    )
    return await execute(request, command, body, success=201)


@_command("POST", "/orders/{order_id}/lines")
async def add_line(request: Request, order_id: OrderId, body: models.LineBody) -> Response:
    """Add a line to an open order."""
    return await execute(request, commands.AddLine(order_id, body.sku, body.quantity, body.unit_price), body)


@_command("PATCH", "/orders/{order_id}/lines/{sku}")
async def change_line_quantity(
    request: Request, order_id: OrderId, sku: SkuPath, body: models.QuantityBody
) -> Response:
    """Change the quantity of a line of an open order."""
    return await execute(request, commands.ChangeLineQuantity(order_id, sku, body.quantity), body)


@_command("DELETE", "/orders/{order_id}/lines/{sku}")
async def remove_line(request: Request, order_id: OrderId, sku: SkuPath) -> Response:
    """Take a line off an open order; the last one stays, cancel the order instead."""
    return await execute(request, commands.RemoveLine(order_id, sku), None)


@_command("PUT", "/orders/{order_id}/shipping-address")
async def change_shipping_address(request: Request, order_id: OrderId, body: models.AddressBody) -> Response:
    """Send an open order to another address."""
    return await execute(request, commands.ChangeShippingAddress(order_id, body.to_address()), body)


@_command("POST", "/orders/{order_id}/confirm")
async def confirm_order(request: Request, order_id: OrderId) -> Response:
    """Confirm an open order: from here on it is binding."""
    return await execute(request, commands.ConfirmOrder(order_id), None)


@_command("POST", "/orders/{order_id}/reject")
async def reject_order(request: Request, order_id: OrderId, body: models.ReasonBody) -> Response:
    """Reject an open order that cannot be delivered."""
    return await execute(request, commands.RejectOrder(order_id, body.reason), body)


@_command("POST", "/orders/{order_id}/payments")
async def record_payment(request: Request, order_id: OrderId, body: models.PaymentBody) -> Response:
    """Record a payment for a confirmed order; several may add up to its total."""
    return await execute(request, commands.RecordPayment(order_id, body.amount, body.reference), body)


@_command("POST", "/orders/{order_id}/ship")
async def ship_order(request: Request, order_id: OrderId, body: models.ShipmentBody) -> Response:
    """Record that a paid order was handed to a carrier."""
    return await execute(request, commands.ShipOrder(order_id, body.carrier, body.tracking), body)


@_command("POST", "/orders/{order_id}/deliver")
async def deliver_order(request: Request, order_id: OrderId) -> Response:
    """Record that a shipped order was delivered."""
    return await execute(request, commands.DeliverOrder(order_id), None)


@_command("POST", "/orders/{order_id}/cancel")
async def cancel_order(request: Request, order_id: OrderId, body: models.ReasonBody) -> Response:
    """Cancel an order that was not shipped yet; what was paid is refunded."""
    return await execute(request, commands.CancelOrder(order_id, body.reason), body)


@_command("POST", "/orders/{order_id}/returns")
async def return_lines(request: Request, order_id: OrderId, body: models.ReturnBody) -> Response:
    """Take pieces of a delivered order back and refund them."""
    lines = tuple(line.to_line() for line in body.lines)
    return await execute(request, commands.ReturnLines(order_id, lines, body.reason), body)
