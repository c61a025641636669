"""Events of the log as messages to the world: `published` is all there is to it but for I/O."""

from collections.abc import Iterable, Mapping, MutableMapping
from uuid import UUID

from eventlog.messages import Message
from eventlog.recorded import RecordedEvent
from projections.public.fold import OpenOrder, fold
from projections.view import EventFailed
from schemas import public_events as public
from schemas import topics
from schemas.events import OrderEvent

TOPIC_OF: Mapping[type, topics.Topic] = {
    public.OrderPlaced: topics.ORDER_PLACED,
    public.OrderChanged: topics.ORDER_CHANGED,
    public.OrderConfirmed: topics.ORDER_CONFIRMED,
    public.OrderRejected: topics.ORDER_REJECTED,
    public.OrderCancelled: topics.ORDER_CANCELLED,
    public.OrderShipped: topics.ORDER_SHIPPED,
    public.OrderDelivered: topics.ORDER_DELIVERED,
    public.OrderReturned: topics.ORDER_RETURNED,
}


def published(orders: MutableMapping[UUID, OpenOrder | None], events: Iterable[RecordedEvent]) -> list[Message]:
    """What the world is told of `events`, in their order; `orders`, the open ones, are brought up to date.

    Those that are open no more are None in it. Raises EventFailed at an event that does not follow from them.
    """
    messages = []
    for recorded in events:
        event = recorded.event
        if not isinstance(event, OrderEvent):
            continue
        try:
            order, told = fold(orders.get(event.order_id), event, recorded.metadata.version)
        except ValueError as error:
            raise EventFailed(recorded.position, f"cannot be published: {error}") from error
        orders[event.order_id] = order
        if told:
            messages.append(_message(recorded, told))
    return messages


def _message(recorded: RecordedEvent, told: public.PublicEvent) -> Message:
    about = recorded.metadata
    return Message(
        # Its place in the log, which a log that was restored from a backup keeps.
        event_id=f"{topics.ORDER_EVENTS.name}:{recorded.position}",
        topic=TOPIC_OF[type(told)].name,
        time=about.time,
        event=told,
        correlation_id=about.correlation_id,
        causation_id=about.event_id,
        traceparent=about.traceparent,
    )
