"""The `sales` projection on its table: the rows a batch touches, what they become, and what queries read of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import get_args

from sqlalchemy import MetaData

from eventlog.positions import Position
from eventlog.recorded import Fact
from projections.sales.fold import SPANS, Key, Order, fold
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
        sums = _Sums(get, late)
        for offset, time, version, _, event in facts:
            assert not isinstance(event, WriterElected)  # not among `handles`
            known = orders.get(event.order_id.int)
            if known and known[0] >= offset:
                continue
            try:
                after, changes = fold(known[1] if known else None, event, version, time)
            except ValueError as error:
                raise EventFailed(Position(partition, offset), f"cannot be applied: {error}") from error
            orders[event.order_id.int] = (offset, after)
            for key, change in changes:
                sums.add(key, change, offset)
        return [*sums.written(), *((order_key(order), order_value(*row)) for order, row in orders.items())]

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


class _Sums:
    """The sums that a batch touches: as they were, and what it adds."""

    def __init__(self, get: Get, late: bool) -> None:
        self._get = get
        self._late = late
        # For each: the source offset it was stored with, the one it has now, and the sums.
        self._rows: dict[Key, tuple[int, list[int], list[int]]] = {}

    def add(self, key: Key, change: tuple[int, ...], offset: int) -> None:
        """Add `change`, unless the sum had the event at `offset` before this batch; it has none that comes late."""
        row = self._rows.get(key)
        if row is None:
            (value,) = self._get([sum_key(key)])
            stored, sums = read_sum(value) if value else nothing(key.kind)
            row = self._rows[key] = (stored, [stored], sums)
        stored, last, sums = row
        if offset > stored or self._late:
            for at, one in enumerate(change):
                sums[at] += one
            last[0] = max(last[0], offset)

    def written(self) -> Iterable[Write]:
        """A row for each sum touched, changed or not: what was read again is also written again."""
        return ((sum_key(key), sum_value(last, sums)) for key, (_, (last,), sums) in self._rows.items())


def _load(get: Get, facts: Iterable[Fact]) -> dict[int, tuple[int, Order]]:
    """The orders of `facts` that the table has, by their ids as numbers, which hash faster."""
    orders = list({one.event.order_id.int for one in facts if not isinstance(one.event, WriterElected)})
    values = get([order_key(order) for order in orders])
    return {order: read_order(value) for order, value in zip(orders, values, strict=True) if value}
