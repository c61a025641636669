"""The inventory as a subscriber: many orders in one transaction, for the price of a few statements."""

from collections.abc import Sequence

from eventlog.messages import Message
from eventlog.settings import Settings
from schemas.topics import (
    INVENTORY_REJECTED,
    INVENTORY_RESERVED,
    ORDER_CANCELLED,
    ORDER_CHANGED,
    ORDER_PLACED,
    ORDER_REJECTED,
    ORDER_RETURNED,
    ORDER_SHIPPED,
)
from service.database import Connection
from subscribers.inventory import tables
from subscribers.inventory.api import router
from subscribers.inventory.stock import Answer, Stock
from subscribers.subscription import Subscription


async def handle(connection: Connection, messages: Sequence[Message], _settings: Settings) -> Sequence[Answer]:
    """Take `messages` in, in their order; whether the lines of each order are reserved, where one asks."""
    events = [message.event for message in messages]
    loaded = await tables.load(connection, events)
    stock = Stock(loaded.levels, loaded.orders)
    answers = [stock.take(event) for event in events]
    await tables.save(connection, loaded, stock)
    return answers


INVENTORY = Subscription(
    name="inventory",
    topics=(ORDER_PLACED, ORDER_CHANGED, ORDER_CANCELLED, ORDER_REJECTED, ORDER_SHIPPED, ORDER_RETURNED),
    handle=handle,
    publishes=(INVENTORY_RESERVED, INVENTORY_REJECTED),
    router=router,
)
