"""What one order comes to, event by event: the fold that views are held against. It knows none of theirs."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from projections.verifying.log_events import Told, Unreadable

SOLD = frozenset({"confirmed", "paid", "shipped", "delivered", "returned"})
_STATUS_OF = {
    "OrderConfirmed": "confirmed",
    "OrderRejected": "rejected",
    "OrderShipped": "shipped",
    "OrderDelivered": "delivered",
    "OrderCancelled": "cancelled",
}


class Line:
    """A line of an order; `returned` pieces of it came back."""

    __slots__ = ("price", "quantity", "returned", "sku")

    def __init__(self, sku: str, quantity: int, price: int) -> None:
        self.sku, self.quantity, self.price, self.returned = sku, quantity, price, 0


class OrderState:
    """An order after its events so far. `index` counts orders in the order of their first events in a partition."""

    __slots__ = (
        *("index", "order_id", "offset", "version", "placed_at", "updated_at", "customer_id", "currency", "email"),
        *("address", "status", "lines", "paid", "refunded", "reason", "carrier", "tracking", "texts", "seen", "told"),
    )

    def __init__(self, index: int, placed: Told) -> None:
        content = placed.content
        contact = content["personal_data"] or {"email": None, "shipping_address": None}
        self.index, self.order_id, self.offset, self.version = index, placed.order_id, placed.offset, 1
        self.placed_at: datetime = placed.time
        self.updated_at: datetime = placed.time
        self.customer_id: str = content["customer_id"]
        self.currency: str = content["currency"]
        self.email: str | None = contact["email"]
        self.address: dict[str, str] | None = contact["shipping_address"]
        self.status = "open"
        self.lines = [Line(line["sku"], line["quantity"], line["unit_price"]) for line in content["lines"]]
        self.paid = self.refunded = 0
        self.reason: str | None = None
        self.carrier: str | None = None
        self.tracking: str | None = None
        self.texts: dict[int, str] = {0: _joined(self.address)}
        self.seen = False  # whether the view has it
        self.told = 0  # the digest of what else a view keeps of its events

    @property
    def total(self) -> int:
        """What all lines cost."""
        return sum(line.quantity * line.price for line in self.lines)

    @property
    def returned(self) -> tuple[int, int]:
        """Pieces that came back, and what they cost."""
        return sum(line.returned for line in self.lines), sum(line.returned * line.price for line in self.lines)

    def take(self, told: Told) -> None:
        """The order's next event."""
        self.offset, self.version, self.updated_at = told.offset, told.version, told.time
        self.status = _STATUS_OF.get(told.name, self.status)
        handler = getattr(self, f"_on_{told.name}", None)
        if handler:
            handler(told.content)

    def _on_LineAdded(self, content: dict[str, Any]) -> None:
        self.lines.append(Line(content["sku"], content["quantity"], content["unit_price"]))

    def _on_LineQuantityChanged(self, content: dict[str, Any]) -> None:
        self._line(content["sku"]).quantity = content["quantity"]

    def _on_LineRemoved(self, content: dict[str, Any]) -> None:
        self.lines.remove(self._line(content["sku"]))

    def _on_ShippingAddressChanged(self, content: dict[str, Any]) -> None:
        self.address = (content["personal_data"] or {"shipping_address": None})["shipping_address"]
        self.texts[0] = _joined(self.address)

    def _on_OrderConfirmed(self, content: dict[str, Any]) -> None:
        if not content["total"]:
            self.status = "paid"  # nothing is left to pay

    def _on_OrderRejected(self, content: dict[str, Any]) -> None:
        self.reason = (content["personal_data"] or {"reason": None})["reason"]

    _on_OrderCancelled = _on_OrderRejected

    def _on_PaymentRecorded(self, content: dict[str, Any]) -> None:
        self.paid += content["amount"]
        self.texts[self.version] = content["reference"]
        if self.paid >= self.total:
            self.status = "paid"

    def _on_PaymentRefunded(self, content: dict[str, Any]) -> None:
        self.refunded += content["amount"]

    def _on_OrderShipped(self, content: dict[str, Any]) -> None:
        self.carrier, self.tracking = content["carrier"], content["tracking"]
        self.texts[self.version] = " ".join(content["parcels"]) or content["tracking"]

    def _on_LinesReturned(self, content: dict[str, Any]) -> None:
        self._on_OrderRejected(content)
        for line in content["lines"]:
            self._line(line["sku"]).returned += line["quantity"]
        if all(line.returned == line.quantity for line in self.lines):
            self.status = "returned"

    def _line(self, sku: str) -> Line:
        return next(line for line in self.lines if line.sku == sku)


class Orders:
    """The orders of one partition, in the order of their first events."""

    def __init__(self, partition: int) -> None:
        self.by_id: dict[UUID, OrderState] = {}
        self._partition = partition

    def take(self, events: list[Told]) -> Iterator[tuple[OrderState, Told]]:
        """Fold `events`; each order as it is right after its event. Raises Unreadable at one out of sequence."""
        for told in events:
            state = self.by_id.get(told.order_id)
            if told.version != (state.version if state else 0) + 1 or (told.name == "OrderPlaced") != (state is None):
                where = f"{self._partition}:{told.offset}"
                raise Unreadable(f"the {told.name} at {where} does not follow what the log has of {told.order_id}")
            if state is None:
                state = self.by_id[told.order_id] = OrderState(len(self.by_id), told)
            else:
                state.take(told)
            yield state, told


def _joined(address: dict[str, str] | None) -> str:
    return " ".join(address[part] for part in ("name", "street", "city", "postal_code", "country")) if address else ""
