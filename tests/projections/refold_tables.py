"""Customers, timeline and texts by an independent fold, to hold the view's other tables against (see refold.py)."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import psycopg
from psycopg.rows import dict_row

from eventlog.recorded import RecordedEvent
from eventlog.settings import Settings
from schemas import events as e
from tests.projections.refold import folded, view

_CUSTOMERS = """
    SELECT customer_id, currency, sum(orders) AS orders, sum(paid) AS paid, sum(refunded) AS refunded,
        sum(returned_pieces) AS pieces, sum(returned_amount) AS amount, max(last_order_at) AS last_order_at
    FROM views.customers GROUP BY customer_id, currency
"""
_TIMELINE = """
    SELECT order_id::text, version, type, time, recorded_at, partition || ':' || "offset" AS position,
        command_id, correlation_id, data
    FROM views.order_events ORDER BY order_id, version
"""
_TEXTS = "SELECT order_id::text, tsvector_to_array(words) AS words FROM views.order_texts"


def everything(recorded: Iterable[RecordedEvent]) -> dict[str, Any]:
    """All that the view's tables must say after `recorded`, in the form of `everything_of`."""
    events = [one for one in recorded if not isinstance(one.event, e.WriterElected)]
    return {
        "orders": folded(events, {}),
        "customers": _customers(events),
        "timeline": sorted(map(_told, events), key=lambda row: (row["order_id"], row["version"])),
        "words": _words(events),
    }


def everything_of(settings: Settings) -> dict[str, Any]:
    """What the view's tables say."""
    with psycopg.connect(settings.postgres_url, row_factory=dict_row) as connection:
        customers = connection.execute(_CUSTOMERS).fetchall()
        timeline = connection.execute(_TIMELINE).fetchall()
        words: dict[str, set[str]] = defaultdict(set)
        for row in connection.execute(_TEXTS):
            words[row["order_id"]] |= set(row["words"])
    keyed = {(row.pop("customer_id"), row.pop("currency")): row for row in customers}
    return {"orders": view(settings), "customers": keyed, "timeline": timeline, "words": dict(words)}


def _customers(events: Iterable[RecordedEvent]) -> dict[tuple[str, str], dict[str, Any]]:
    customers: dict[tuple[str, str], dict[str, Any]] = {}
    placed: dict[Any, e.OrderPlaced] = {}
    prices: dict[tuple[Any, str], int] = {}
    for one in events:
        event: Any = one.event
        if isinstance(event, e.OrderPlaced):
            placed[event.order_id] = event
            prices |= {(event.order_id, line.sku): line.unit_price for line in event.lines}
        by = placed[event.order_id]
        nothing = {"orders": 0, "paid": 0, "refunded": 0, "pieces": 0, "amount": 0, "last_order_at": one.metadata.time}
        of = customers.setdefault((by.customer_id, by.currency), nothing)
        match event:
            case e.OrderPlaced():
                of["orders"] += 1
                of["last_order_at"] = max(of["last_order_at"], one.metadata.time)
            case e.LineAdded():
                prices[event.order_id, event.sku] = event.unit_price
            case e.PaymentRecorded():
                of["paid"] += event.amount
            case e.PaymentRefunded():
                of["refunded"] += event.amount
            case e.LinesReturned():
                of["pieces"] += sum(line.quantity for line in event.lines)
                of["amount"] += sum(line.quantity * prices[event.order_id, line.sku] for line in event.lines)
    return customers


def _told(one: RecordedEvent) -> dict[str, Any]:
    data = json.loads(json.dumps(asdict(one.event), default=str))
    return {
        "order_id": data.pop("order_id"),
        "version": one.metadata.version,
        "type": type(one.event).__name__,
        "time": one.metadata.time,
        "recorded_at": one.recorded_at,
        "position": str(one.position),
        "command_id": one.metadata.command_id,
        "correlation_id": one.metadata.correlation_id,
        "data": data,
    }


def _words(events: Iterable[RecordedEvent]) -> dict[str, set[str]]:
    addresses: dict[str, str] = {}
    references: dict[str, str] = defaultdict(str)
    for one in events:
        event: Any = one.event
        order = str(event.order_id)
        if isinstance(event, e.OrderPlaced | e.ShippingAddressChanged):
            personal = event.personal_data
            addresses[order] = " ".join(asdict(personal.shipping_address).values()) if personal else ""
        references[order] += f" {getattr(event, 'reference', '')} {getattr(event, 'tracking', '')}"
    texts = {order: f"{address} {references[order]}" for order, address in addresses.items()}
    return {order: set(re.findall(r"[^\W_]+", text.lower())) for order, text in texts.items()}
