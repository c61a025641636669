"""Who an order's mails go to and what it comes to, as of its last version that is known here."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from schemas.public_events import WholeOrder
from service.database import Connection, storable

# Placed and changed are topics of their own, so an older version may come after a newer one.
_NOTE = """
    INSERT INTO email.contacts AS known (order_id, order_version, email, name, currency, total)
    VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT (order_id) DO UPDATE SET order_version = excluded.order_version, email = excluded.email,
        name = excluded.name, currency = excluded.currency, total = excluded.total
    WHERE known.order_version < excluded.order_version
"""
_OF = "SELECT order_version, email, name, currency, total FROM email.contacts WHERE order_id = %s"


class Contact(NamedTuple):
    """An order's customer as of `order_version`; `email` is None once erased. `total` is in minor units."""

    order_version: int
    email: str | None
    name: str | None
    currency: str
    total: int


async def note(connection: Connection, orders: Sequence[WholeOrder]) -> None:
    """Keep what `orders` say, where nothing newer is known."""
    async with connection.cursor() as cursor:
        await cursor.executemany(_NOTE, [_row(order) for order in orders])


async def of(connection: Connection, order_id: UUID) -> Contact | None:
    """The order's contact; None when it is not known yet."""
    row = await (await connection.execute(_OF, [order_id])).fetchone()
    return Contact(*row) if row else None


def _row(order: WholeOrder) -> tuple[object, ...]:
    person = order.personal_data
    email = storable(person.email) if person else None
    name = storable(person.shipping_address.name) if person else None
    return order.order_id, order.order_version, email, name, order.currency, order.total
