"""Customers, timeline and texts by the independent fold, to hold the view's other tables against (see refold.py)."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
from psycopg.rows import dict_row

from eventlog.recorded import RecordedEvent
from eventlog.settings import Settings
from projections.verifying.order_state import OrderState
from projections.verifying.orders import customer_rows
from tests.projections.refold import folded, states, told, view

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
    events = list(recorded)
    orders = states(events)
    return {
        "orders": folded(events),
        "customers": dict(map(_customer, customer_rows(0, orders.values()))),
        "timeline": _timeline(events),
        "words": {str(order_id): _words(state) for order_id, state in orders.items()},
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


def _customer(row: Any) -> tuple[tuple[str, str], dict[str, Any]]:
    _, (_, customer_id, currency, *sums) = row
    names = ("orders", "paid", "refunded", "pieces", "amount", "last_order_at")
    return (customer_id, currency), dict(zip(names, sums, strict=True))


def _timeline(events: Iterable[RecordedEvent]) -> list[dict[str, Any]]:
    rows = [
        {
            "order_id": str(one.order_id),
            "version": one.version,
            "type": one.name,
            "time": one.time,
            "recorded_at": one.recorded_at,
            "position": position,
            "command_id": one.command_id,
            "correlation_id": one.correlation_id,
            "data": json.loads(json.dumps(one.content)),
        }
        for one, position in _placed(events)
    ]
    return sorted(rows, key=lambda row: (row["order_id"], row["version"]))


def _placed(events: Iterable[RecordedEvent]) -> Iterator[tuple[Any, str]]:
    for one in events:
        for found in told([one]):
            yield found, str(one.position)


def _words(state: OrderState) -> set[str]:
    return set(re.findall(r"[^\W_]+", " ".join(state.texts.values()).lower()))
