"""Why a command is refused: a slug for machines, a title for people, and the state that caused it."""

from dataclasses import dataclass
from uuid import UUID

from command_side.domain.order import Order


@dataclass(frozen=True, slots=True)
class Rejection:
    """A refused command. It left no event; `status` and `version` are the order's, None and 0 without one.

    `status` is None also where it cannot be relied on.
    """

    type: str
    title: str
    detail: str
    status: str | None
    version: int


def _on(order: Order | None, type_: str, title: str, detail: str) -> Rejection:
    if order is None:
        return Rejection(type_, title, detail, None, 0)
    return Rejection(type_, title, detail, None if order.unknown else str(order.status), order.version)


def order_not_found(order_id: UUID) -> Rejection:
    """The command is for an order that was never placed."""
    return _on(None, "order-not-found", "There is no such order", f"no order {order_id} was ever placed")


def order_exists(order: Order) -> Rejection:
    """An order was placed under an id that is taken."""
    return _on(
        order, "order-exists", "This order was placed already", f"the id {order.order_id} is taken; leave it out"
    )


def newer_release_needed(order: Order) -> Rejection:
    """The order's history has an event that this release does not know, so nothing can be decided on it here."""
    detail = (
        f"the history of order {order.order_id} has {order.unknown}, an event that this release does not know and a "
        "newer one wrote: run the newer release"
    )
    return _on(order, "newer-release-needed", "A newer release has to decide this", detail)


def wrong_status(order: Order, action: str, allowed: str) -> Rejection:
    """The order is past the point, or not yet there, where the command makes sense."""
    detail = f"{action} takes an order that is {allowed}; this one is {order.status}"
    return _on(
        order, f"order-not-{allowed.replace(' or ', '-or-')}", "The order is in the wrong state for this", detail
    )


def invalid_command(order: Order | None, detail: str) -> Rejection:
    """A value is outside what the domain knows, whatever the order's state."""
    return _on(order, "invalid-command", "The command has an impossible value", detail)


def unknown_currency(currency: str) -> Rejection:
    """The currency is not one of ISO 4217."""
    detail = f"{currency!r} is not an active ISO 4217 code such as EUR"
    return _on(None, "unknown-currency", "The currency is not known", detail)


def duplicate_sku(order: Order | None, sku: str) -> Rejection:
    """Two lines of one command name the same sku."""
    return _on(order, "duplicate-sku", "A sku stands on two lines", f"{sku} occurs twice; add the quantities up")


def line_exists(order: Order, sku: str) -> Rejection:
    """A line is added for a sku that has one."""
    return _on(order, "line-exists", "The order has a line of this sku", f"change the quantity of {sku} instead")


def line_not_found(order: Order, sku: str) -> Rejection:
    """A line is named that the order does not have."""
    return _on(order, "line-not-found", "The order has no line of this sku", f"no line of the order is of {sku}")


def too_many_lines(order: Order | None, most: int) -> Rejection:
    """The order would have more lines than an order can have."""
    return _on(order, "too-many-lines", "The order has too many lines", f"an order has at most {most} lines")


def last_line(order: Order) -> Rejection:
    """The only line of an order is to be removed."""
    return _on(order, "last-line", "An order keeps at least one line", "cancel the order instead of emptying it")


def overpaid(order: Order, amount: int) -> Rejection:
    """More is paid than is owed."""
    detail = f"{amount} was to be recorded, {order.outstanding} {order.currency} (minor units) are outstanding"
    return _on(order, "overpaid", "The payment is more than what is outstanding", detail)


def payment_known(order: Order, reference: str) -> Rejection:
    """A payment is recorded a second time."""
    detail = f"the payment {reference} is in the order's history"
    return _on(order, "payment-already-recorded", "This payment was recorded already", detail)


def too_many_returned(order: Order, sku: str, quantity: int) -> Rejection:
    """More comes back than was bought and not yet returned."""
    detail = f"{quantity} of {sku} are to come back, {order.returnable(sku)} can"
    return _on(order, "too-many-returned", "More is returned than was bought", detail)
