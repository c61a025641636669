"""What the world is to be told of a log, worked out from the fold of `orderlog verify`: it knows none of the view's."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from eventlog.messages import Message
from eventlog.recorded import RecordedEvent
from projections.verifying.order_state import Orders, OrderState
from schemas import public_events as public
from schemas.events import Address, Contact, WriterElected
from tests.projections.refold import told

_TOPICS = {
    "OrderPlaced": "order.placed",
    "LineAdded": "order.changed",
    "LineQuantityChanged": "order.changed",
    "LineRemoved": "order.changed",
    "ShippingAddressChanged": "order.changed",
    "OrderConfirmed": "order.confirmed",
    "OrderRejected": "order.rejected",
    "OrderCancelled": "order.cancelled",
    "OrderShipped": "order.shipped",
    "OrderDelivered": "order.delivered",
    "LinesReturned": "order.returned",
}


def expected(log: Sequence[RecordedEvent]) -> list[Message]:
    """The messages that follow from `log`, in its order; it has its orders from their first event on."""
    events = [recorded for recorded in log if not isinstance(recorded.event, WriterElected)]
    orders, messages = Orders(0), []
    for recorded, content in zip(events, told(events), strict=True):
        ((state, _),) = orders.take([content])
        about = recorded.metadata
        if topic := _TOPICS.get(content.name):
            event = _event(topic, state, about.version, content.content)
            event_id = f"order.events:{recorded.position.partition}:{recorded.position.offset}"
            why = (about.correlation_id, about.event_id, about.traceparent)
            messages.append(Message(event_id, topic, about.time, event, *why))
    return messages


def _event(topic: str, state: OrderState, version: int, content: Mapping[str, Any]) -> public.PublicEvent:
    order_id = UUID(str(state.order_id))
    thin = (order_id, version, f"/orders/{order_id}")
    match topic:
        case "order.placed" | "order.changed":
            kind = public.OrderPlaced if topic == "order.placed" else public.OrderChanged
            lines = tuple(public.Line(line.sku, line.quantity, line.price) for line in state.lines)
            contact = Contact(str(state.email), Address(**state.address)) if state.address else None
            return kind(order_id, version, state.customer_id, state.currency, lines, state.total, contact)
        case "order.shipped":
            return public.OrderShipped(*thin, str(state.carrier), str(state.tracking))
        case "order.returned":
            back = tuple(public.ReturnedLine(line["sku"], line["quantity"]) for line in content["lines"])
            return public.OrderReturned(*thin, back)
        case "order.confirmed":
            return public.OrderConfirmed(*thin)
        case "order.rejected":
            return public.OrderRejected(*thin)
        case "order.cancelled":
            return public.OrderCancelled(*thin)
        case _:
            return public.OrderDelivered(*thin)
