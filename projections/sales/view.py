"""The `sales` projection on its table: the rows a batch touches, what they become, and what queries read of them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import get_args

from sqlalchemy import MetaData

from eventlog.positions import Position
from eventlog.recorded import Fact
from projections.sales.fold import SPANS, Key, Order, fold, longer_spans
from projections.sales.rows import (
    kind_range,
    nothing,
    order_key,
    order_value,
    read_order,
    read_sum,
    read_sum_key,
    sum_key,
    sum_value,
)
from projections.table_view import Get, Row, Write, routing_table
from projections.view import EventFailed
from schemas.events import OrderEvent, WriterElected

KINDS = ("status", *SPANS, "sku", "customer")

_Changes = defaultdict[Key, list[tuple[int, tuple[int, ...]]]]
"""What a batch adds to each sum, in order, each with the offset of its event."""
_NEW = -1, None


class SalesView:
    """See projections/table_view.py for the contract."""

    name = "sales"
    version = 1
    handles = frozenset(get_args(OrderEvent))
    metadata = MetaData()
    routing = routing_table("sales_workers", metadata)

    def fold(self, partition: int, get: Get, facts: Sequence[Fact], *, late: bool = False) -> list[Write]:
        """The rows that `facts` of one partition leave behind: first the sums, then the orders.

        In this order, so that an order's row says that every sum has its events. A sum's own offset says
        which events it has, where the sums were written and the orders were not.
        Raises EventFailed at an event that does not follow what the table holds.
        """
        orders = _load(get, facts)
        changes: _Changes = defaultdict(list)
        for fact in facts:
            offset, event = fact.offset, fact.event
            assert type(event) is not WriterElected  # not among `handles`
            number = event.order_id.int
            stored, before = orders.get(number) or _NEW
            if stored >= offset:
                continue
            try:
                after, some = fold(before, event, fact.version, fact.time)
            except ValueError as error:
                raise EventFailed(Position(partition, offset), f"cannot be applied: {error}") from error
            orders[number] = (offset, after)
            for key, change in some:
                changes[key].append((offset, change))
        _add_longer_spans(changes)
        return [
            *_sums(get, changes, late=late),
            *((order_key(number), order_value(*row)) for number, row in orders.items()),
        ]

    def bounds(self, query: Mapping[str, str]) -> tuple[bytes, bytes]:
        """The rows of `query["kind"]`, of spans of time those that begin in [`since`, `until`), seconds since 1970."""
        kind = query.get("kind", "")
        if kind not in KINDS:
            raise ValueError(f"kind is one of {', '.join(KINDS)}, not {kind!r}")
        return kind_range(kind, *(int(query[name]) if name in query else None for name in ("since", "until")))

    def read(self, rows: Iterable[Write], query: Mapping[str, str]) -> Iterator[Row]:
        """The sums among `rows`, if `currency` is given those in it."""
        kind, currency = query["kind"], query.get("currency")
        for key, value in rows:
            found = read_sum_key(kind, key)
            if currency is None or found.currency == currency:
                yield (found.name, found.currency), read_sum(value)[1]


def _load(get: Get, facts: Iterable[Fact]) -> dict[int, tuple[int, Order]]:
    """The orders of `facts` that the table has, by their ids as numbers, which hash faster."""
    orders = list({one.event.order_id.int for one in facts if type(one.event) is not WriterElected})
    values = get([order_key(order) for order in orders])
    return {order: read_order(value) for order, value in zip(orders, values, strict=True) if value}


def _add_longer_spans(changes: _Changes) -> None:
    """Add what was added to minutes to their hours and days."""
    longer: set[Key] = set()
    for minute in [key for key in changes if key.kind == "minute"]:
        for key in longer_spans(minute):
            changes[key] += changes[minute]
            longer.add(key)
    for key in longer:  # events may be of earlier minutes than those before them
        changes[key].sort()


def _sums(get: Get, changes: _Changes, *, late: bool) -> Iterator[Write]:
    """A row for each sum touched, with the changes of the events that it did not have before; it has none that is late.

    Changed or not: what was read again is also written again.
    """
    keys = [sum_key(key) for key in changes]
    for row_key, value, (key, some) in zip(keys, get(keys), changes.items(), strict=True):
        stored, sums = read_sum(value) if value else nothing(key.kind)
        if not late and some[0][0] <= stored:
            some = [one for one in some if one[0] > stored]
        if some:
            stored = max(stored, some[-1][0])
            sums = [sum(column) for column in zip(sums, *[change for _, change in some], strict=True)]
        yield row_key, sum_value(stored, sums)
