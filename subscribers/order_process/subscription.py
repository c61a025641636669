"""The order process manager as a subscription."""

from collections.abc import Sequence

from eventlog.messages import Message
from eventlog.settings import Settings
from schemas.topics import (
    INVENTORY_REJECTED,
    INVENTORY_RESERVED,
    ORDER_CANCELLED,
    ORDER_CONFIRMED,
    ORDER_PLACED,
    ORDER_REJECTED,
)
from service.database import Connection
from subscribers import outbox
from subscribers.order_process.commands import AT_ONCE, ATTEMPTS, sending
from subscribers.order_process.process import steps
from subscribers.subscription import Answer, Effects, Subscription

NAME = "order_process"


async def handle(connection: Connection, messages: Sequence[Message], settings: Settings) -> Sequence[Answer]:
    """Note what is owed from now on, and what no longer is."""
    each = [steps(message, settings.order_timeout_s) for message in messages]
    await outbox.put(connection, NAME, [task for one in each for task in one.owed])
    await outbox.withdraw(connection, NAME, [task for one in each for task in one.settled])
    return [None] * len(messages)


ORDER_PROCESS = Subscription(
    name=NAME,
    topics=(
        ORDER_PLACED,
        ORDER_CONFIRMED,
        ORDER_REJECTED,
        ORDER_CANCELLED,
        INVENTORY_RESERVED,
        INVENTORY_REJECTED,
    ),
    handle=handle,
    effects=Effects(open=sending, at_once=AT_ONCE, attempts=lambda _settings: ATTEMPTS, what="send command"),
)
