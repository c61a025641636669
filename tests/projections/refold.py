"""An independent fold of the log, to hold the view against: plain dictionaries, nothing shared with the view."""

from collections.abc import Iterable, Mapping, Set
from typing import Any

import psycopg
from psycopg.rows import dict_row

from eventlog.reader import log_ends, read_partition
from eventlog.recorded import RecordedEvent, read_record
from eventlog.settings import Settings
from schemas import events as e
from schemas.codec import Codec

_COLUMNS = """
    order_id::text, customer_id, email, currency, status, total, paid, refunded, shipping_address->>'street' AS street,
    reason, carrier, tracking, version, placed_at, updated_at, (
        SELECT coalesce(jsonb_agg(jsonb_build_array(sku, quantity, unit_price, returned) ORDER BY position), '[]')
        FROM views.order_lines WHERE order_lines.order_id = orders.order_id
    ) AS lines
"""


async def folded_log(settings: Settings, codec: Codec, but: Set[str] = frozenset()) -> dict[str, dict[str, Any]]:
    """Every order of the log by its id, as if the records at the positions `but` were not there."""
    topic = settings.topic("order.events")
    orders: dict[str, dict[str, Any]] = {}
    for partition, end in (await log_ends(settings.kafka_bootstrap, topic)).items():
        async for records in read_partition(settings.kafka_bootstrap, topic, partition, 0, end):
            counted = [record for record in records if f"{partition}:{record.offset}" not in but]
            folded([read_record(codec, partition, record) for record in counted], orders)
    return orders


def folded(recorded: Iterable[RecordedEvent], orders: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Bring `orders` up to date with events of one partition. Knows nothing of terms."""
    for one in recorded:
        if isinstance(one.event, e.WriterElected):
            continue
        order = orders.setdefault(str(one.event.order_id), {"version": 0})
        order["version"] += 1
        assert order["version"] == one.metadata.version, "the log itself is wrong"
        _apply(order, one.event)
        order["updated_at"] = one.metadata.time
        order.setdefault("placed_at", one.metadata.time)
        order["total"] = sum(quantity * price for _, quantity, price, _ in order["lines"])
    return orders


def view(settings: Settings) -> dict[str, dict[str, Any]]:
    """Every order of the view by its id, in the form of `folded`."""
    with psycopg.connect(settings.postgres_url, row_factory=dict_row) as connection:
        rows = connection.execute(f"SELECT {_COLUMNS} FROM views.orders".encode()).fetchall()
    return {row.pop("order_id"): row for row in rows}


def next_offsets(settings: Settings) -> Mapping[int, int]:
    """The live view's position in each partition; empty while there is none."""
    query = """
        SELECT partition, next_offset FROM orderlog.checkpoints JOIN orderlog.generations USING (projection, generation)
        WHERE state = 'live'
    """
    with psycopg.connect(settings.postgres_url) as connection:
        return dict(connection.execute(query).fetchall())


def _apply(order: dict[str, Any], event: Any) -> None:
    name = type(event).__name__
    if name == "OrderPlaced":
        contact = event.personal_data
        order |= {"customer_id": event.customer_id, "currency": event.currency, "status": "open"}
        order |= {"email": contact and contact.email, "street": contact and contact.shipping_address.street}
        order |= {"paid": 0, "refunded": 0, "reason": None, "carrier": None, "tracking": None}
        order["lines"] = [[line.sku, line.quantity, line.unit_price, 0] for line in event.lines]
    elif name == "LineAdded":
        order["lines"].append([event.sku, event.quantity, event.unit_price, 0])
    elif name == "LineQuantityChanged":
        _line(order, event.sku)[1] = event.quantity
    elif name == "LineRemoved":
        order["lines"].remove(_line(order, event.sku))
    elif name == "ShippingAddressChanged":
        order["street"] = event.personal_data and event.personal_data.shipping_address.street
    elif name == "PaymentRecorded":
        order["paid"] += event.amount
        if order["paid"] >= order["total"]:
            order["status"] = "paid"
    elif name == "PaymentRefunded":
        order["refunded"] += event.amount
    elif name == "LinesReturned":
        for line in event.lines:
            _line(order, line.sku)[3] += line.quantity
        order["reason"] = event.personal_data.reason
        if all(line[1] == line[3] for line in order["lines"]):
            order["status"] = "returned"
    else:
        _change_status(order, name, event)


def _change_status(order: dict[str, Any], name: str, event: Any) -> None:
    order["status"] = name.removeprefix("Order").lower()
    if name in ("OrderRejected", "OrderCancelled"):
        order["reason"] = event.personal_data.reason if event.personal_data else None
    if name == "OrderShipped":
        order |= {"carrier": event.carrier, "tracking": event.tracking}


def _line(order: dict[str, Any], sku: str) -> list[Any]:
    (found,) = (line for line in order["lines"] if line[0] == sku)
    return found  # type: ignore[no-any-return]
