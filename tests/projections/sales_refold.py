"""An independent fold of the log into the sums of `sales`: from what the orders come to, not from what changed."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from eventlog.recorded import RecordedEvent
from schemas import events as e
from tests.projections.refold import folded

Sums = dict[str, dict[tuple[Any, ...], list[int]]]
_SOLD = {"confirmed", "paid", "shipped", "delivered", "returned"}
_STARTS = {
    "minute": {"second": 0, "microsecond": 0},
    "hour": {"minute": 0, "second": 0, "microsecond": 0},
    "day": {"hour": 0, "minute": 0, "second": 0, "microsecond": 0},
}


def sales_of(recorded: Iterable[RecordedEvent]) -> Sums:
    """{kind: {(name, currency): sums}} of whole partitions, or of a first part of each; without sums of nothing."""
    log = [one for one in recorded if not isinstance(one.event, e.WriterElected)]
    orders = folded(log, {})
    sums: Sums = {"status": {}, "sku": _goods(orders), "customer": _customers(orders)}
    for status, count in Counter(order["status"] for order in orders.values()).items():
        sums["status"][status, ""] = [count]
    return {kind: _nonzero(rows) for kind, rows in {**sums, **_times(log, orders)}.items()}


def up_to(recorded: Iterable[RecordedEvent], offsets: Mapping[int, int]) -> list[RecordedEvent]:
    """The events before {partition: next offset}."""
    return [one for one in recorded if one.position.offset < offsets.get(one.position.partition, 0)]


def _goods(orders: Mapping[str, Mapping[str, Any]]) -> dict[tuple[Any, ...], list[int]]:
    goods: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0])
    for order in orders.values():
        if order["status"] in _SOLD:
            for sku, quantity, price, returned in order["lines"]:
                goods[sku, order["currency"]][0] += quantity - returned
                goods[sku, order["currency"]][1] += (quantity - returned) * price
    return goods


def _customers(orders: Mapping[str, Mapping[str, Any]]) -> dict[tuple[Any, ...], list[int]]:
    customers: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0])
    for order in orders.values():
        customer = customers[order["customer_id"], order["currency"]]
        customer[0] += 1
        customer[1] += order["paid"] - order["refunded"]
    return customers


def _times(log: Iterable[RecordedEvent], orders: Mapping[str, Mapping[str, Any]]) -> Sums:
    columns = {e.OrderPlaced: 0, e.PaymentRecorded: 1, e.PaymentRefunded: 2}
    spans: Sums = {kind: defaultdict(lambda: [0, 0, 0]) for kind in _STARTS}
    for one in log:
        column = columns.get(type(one.event))
        if column is not None:
            currency = orders[one.metadata.subject]["currency"]
            amount = 1 if column == 0 else one.event.amount  # type: ignore[union-attr]
            for kind, start in _STARTS.items():
                spans[kind][_second(one.metadata.time, start), currency][column] += amount
    return spans


def _second(time: datetime, start: Mapping[str, int]) -> int:
    return int(time.replace(**start).timestamp())  # type: ignore[arg-type]


def _nonzero(rows: Mapping[tuple[Any, ...], list[int]]) -> dict[tuple[Any, ...], list[int]]:
    return {key: sums for key, sums in rows.items() if any(sums)}
