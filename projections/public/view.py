"""The `public` projection: open orders in a table, and what became of each order told to the world.

It is a view like any other but that its events, once published, are out: docs/adr/0026-public-events.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import get_args
from uuid import UUID

import msgspec
from sqlalchemy import Column, MetaData, Table, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from eventlog.messages import Message
from eventlog.recorded import RecordedEvent
from projections.bulk import copy_rows, delete_rows, select_rows, upsert_rows
from projections.public.fold import OpenOrder
from projections.public.telling import TOPIC_OF, published
from schemas.events import OrderEvent, PaymentRecorded, PaymentRefunded, WriterElected
from service.database import Connection

_metadata = MetaData()
# A document, not a column for each field: this table is never made anew, so a new field has to fit into the old one.
open_orders = Table(
    "open_orders",
    _metadata,
    Column("order_id", Uuid, primary_key=True),
    Column("document", JSONB, nullable=False, comment="the order as it is, while it can still change"),
)
_to_json = msgspec.json.Encoder().encode


class PublicView:
    """See View and Publishes in projections/view.py. `version` stays as it is: nothing is ever published anew."""

    name = "public"
    version = 1
    handles = frozenset(get_args(OrderEvent)) - {PaymentRecorded, PaymentRefunded}
    metadata = _metadata
    publishes = tuple(TOPIC_OF.values())

    async def apply(self, connection: Connection, schema: str, events: Sequence[RecordedEvent]) -> list[Message]:
        """Fold `events` into the open orders of `schema`; what is to be published, in order. Raises EventFailed."""
        before = await _load(connection, schema, events)
        after: dict[UUID, OpenOrder | None] = dict(before)
        messages = published(after, events)
        await _store(connection, schema, before, after)
        return messages


async def _load(connection: Connection, schema: str, events: Iterable[RecordedEvent]) -> dict[UUID, OpenOrder]:
    """The open orders among those that `events` are of."""
    ids = {recorded.event.order_id for recorded in events if not isinstance(recorded.event, WriterElected)}
    rows = await select_rows(connection, schema, open_orders, "order_id", list(ids))
    return {row["order_id"]: msgspec.convert(row["document"], OpenOrder) for row in rows}


async def _store(
    connection: Connection, schema: str, before: Mapping[UUID, OpenOrder], after: Mapping[UUID, OpenOrder | None]
) -> None:
    # In the order of their keys: neighbours in an index are cheap to add.
    is_open = sorted((order for order in after.values() if order), key=lambda order: order.order_id.bytes)
    added = [_row(order) for order in is_open if order.order_id not in before]
    changed = [_row(order) for order in is_open if before.get(order.order_id, order) is not order]
    await delete_rows(connection, schema, open_orders, "order_id", [one for one in before if after[one] is None])
    await copy_rows(connection, schema, open_orders, added)
    await upsert_rows(connection, schema, open_orders, changed)


def _row(order: OpenOrder) -> tuple[UUID, bytes]:
    return order.order_id, _to_json(order)
