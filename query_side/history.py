"""An order as it was: a fold of its timeline, in the form that the view gives of it now. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.codec import EVENT_NAMES

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of the timeline: `data` are its fields (schemas/events.py) as JSON."""

    version: int
    type: str
    time: datetime
    data: Mapping[str, Any]


def up_to(events: Iterable[Happened], version: int | None, as_of: datetime | None) -> list[Happened]:
    """The events up to `version`, or those before the first that happened after `as_of`."""
    told: list[Happened] = []
    for event in events:
        if (version is not None and event.version > version) or (as_of is not None and event.time > as_of):
            break
        told.append(event)
    return told


def state(order_id: str, events: Iterable[Happened]) -> Body:
    """The order after `events`, which are its first ones, in order; at least one. Times are `datetime`s.

    An event of a type that this release does not know changes nothing but the version.
    """
    order: Body = {"order_id": order_id}
    for event in events:
        _apply(order, event.type, event.data)
        order |= {"version": event.version, "updated_at": event.time}
        order.setdefault("placed_at", event.time)
    return order


def _apply(order: Body, kind: str, data: Mapping[str, Any]) -> None:
    match kind:
        case "OrderPlaced":
            order |= _placed(data)
        case "LineAdded" | "LineQuantityChanged" | "LineRemoved" | "LinesReturned":
            _change_lines(order, kind, data)
        case "ShippingAddressChanged":
            order["shipping_address"] = _personal(data, "shipping_address")
        case "OrderConfirmed":
            order["status"] = "confirmed" if data["total"] else "paid"
        case "PaymentRecorded":
            order["paid"] += data["amount"]
            order["status"] = "paid" if order["paid"] >= order["total"] else order["status"]
        case "PaymentRefunded":
            order["refunded"] += data["amount"]
        case "OrderShipped":
            order |= {"status": "shipped", "carrier": data["carrier"], "tracking": data["tracking"]}
        case "OrderDelivered":
            order["status"] = "delivered"
        case "OrderRejected" | "OrderCancelled":
            order |= {"status": kind.removeprefix("Order").lower(), "reason": _personal(data, "reason")}
        case _:
            if kind in EVENT_NAMES:
                raise ValueError(f"nothing here says what {kind} does to an order")
    order["total"] = sum(line["quantity"] * line["unit_price"] for line in order["lines"])


def _placed(data: Mapping[str, Any]) -> Body:
    return {
        "customer_id": data["customer_id"],
        "email": _personal(data, "email"),
        "status": "open",
        "currency": data["currency"],
        "total": 0,
        "paid": 0,
        "refunded": 0,
        "lines": [{**line, "returned": 0} for line in data["lines"]],
        "shipping_address": _personal(data, "shipping_address"),
        "reason": None,
        "carrier": None,
        "tracking": None,
    }


def _change_lines(order: Body, kind: str, data: Mapping[str, Any]) -> None:
    lines: list[Body] = order["lines"]
    match kind:
        case "LineAdded":
            lines.append({**data, "returned": 0})
        case "LineQuantityChanged":
            _line(lines, data["sku"])["quantity"] = data["quantity"]
        case "LineRemoved":
            lines.remove(_line(lines, data["sku"]))
        case _:
            for returned in data["lines"]:
                _line(lines, returned["sku"])["returned"] += returned["quantity"]
            order["reason"] = _personal(data, "reason")
            if all(line["returned"] == line["quantity"] for line in lines):
                order["status"] = "returned"


def _line(lines: Iterable[Body], sku: str) -> Body:
    return next(line for line in lines if line["sku"] == sku)


def _personal(data: Mapping[str, Any], name: str) -> Any:
    """A field of the event's personal data; None once that was erased."""
    return (data["personal_data"] or {}).get(name)
