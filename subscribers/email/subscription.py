"""The email service: tells customers what becomes of their orders. See docs/adr/0029-email.md."""

from collections.abc import Sequence
from typing import Any

from eventlog.messages import Message
from eventlog.settings import Settings
from schemas.public_events import OrderCancelled, OrderConfirmed, OrderRejected, OrderShipped, WholeOrder
from schemas.topics import (
    ORDER_CANCELLED,
    ORDER_CHANGED,
    ORDER_CONFIRMED,
    ORDER_PLACED,
    ORDER_REJECTED,
    ORDER_SHIPPED,
)
from service.database import Connection, storable
from subscribers import outbox
from subscribers.email import contacts
from subscribers.email.letters import Kind
from subscribers.email.mailing import AT_ONCE, open_mailing
from subscribers.outbox import Task
from subscribers.subscription import Answer, Effects, Subscription

NAME = "email"


async def handle(connection: Connection, messages: Sequence[Message], _settings: Settings) -> Sequence[Answer]:
    """Keep the contacts, and put down the mails that are owed: one for each event."""
    await contacts.note(connection, [one.event for one in messages if isinstance(one.event, WholeOrder)])
    await outbox.put(connection, NAME, [task for one in messages if (task := mail_of(one))])
    return [None] * len(messages)


def mail_of(message: Message) -> Task | None:
    """The mail that an event calls for, as a task; None when it calls for none.

    `since` is the order's version that its contact must have at least: a confirmed or rejected order was open until
    then, so the version before that was told whole.
    """
    event = message.event
    what: dict[str, Any] = {"at": message.time.isoformat(), "since": 1}
    match event:
        case OrderConfirmed():
            what |= {"kind": Kind.CONFIRMED, "since": event.order_version - 1}
        case OrderRejected():
            what |= {"kind": Kind.REJECTED, "since": event.order_version - 1}
        case OrderCancelled():
            what |= {"kind": Kind.CANCELLED}
        case OrderShipped():
            shipment = {"carrier": storable(event.carrier), "tracking": storable(event.tracking)}
            what |= {"kind": Kind.SHIPPED, **shipment}
        case _:
            return None
    if message.traceparent:
        what["traceparent"] = message.traceparent
    return Task(f"mail:{message.event_id}", message.event_id, event.order_id, what)


EMAIL = Subscription(
    name=NAME,
    topics=(ORDER_PLACED, ORDER_CHANGED, ORDER_CONFIRMED, ORDER_REJECTED, ORDER_CANCELLED, ORDER_SHIPPED),
    handle=handle,
    effects=Effects(
        open=open_mailing, at_once=AT_ONCE, attempts=lambda settings: settings.mail_attempts, what="send mail"
    ),
)
