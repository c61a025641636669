"""A subscriber for tests: notes each event in a table of its own and answers order.placed with inventory.reserved.

Run as a module it is a process. Quantities of its orders' first lines make it fail: 13 while `echo.mended` is empty.
"""

from eventlog.messages import Message
from eventlog.settings import Settings
from schemas.public_events import InventoryReserved, OrderPlaced
from schemas.topics import INVENTORY_RESERVED, ORDER_CANCELLED, ORDER_PLACED
from service.database import Connection
from subscribers.bootstrap import run_subscription
from subscribers.subscription import Answer, Subscription, one_by_one

POISON = 13
TABLES = """
    CREATE SCHEMA echo;
    CREATE TABLE echo.noted (sequence bigserial, event_id text, order_id uuid, topic text);
    CREATE TABLE echo.mended ();
"""


async def note(connection: Connection, message: Message) -> Answer:
    """Note it; fail at a poisoned order until that is mended."""
    event = message.event
    row = (message.event_id, event.order_id, message.topic)
    await connection.execute("INSERT INTO echo.noted (event_id, order_id, topic) VALUES (%s, %s, %s)", row)
    if not isinstance(event, OrderPlaced):
        return None
    if event.lines[0].quantity == POISON and not (await connection.execute("SELECT FROM echo.mended")).rowcount:
        raise RuntimeError("this order cannot be handled")
    return InventoryReserved(event.order_id, event.order_version)


ECHO = Subscription("echo", (ORDER_PLACED, ORDER_CANCELLED), one_by_one(note), publishes=(INVENTORY_RESERVED,))

if __name__ == "__main__":
    run_subscription(ECHO, Settings())
