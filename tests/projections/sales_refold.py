"""The independent fold of projections/verifying into the sums of `sales`: from what the orders come to."""

from collections.abc import Iterable, Mapping
from typing import Any

from eventlog.recorded import RecordedEvent
from projections.verifying import sales
from projections.verifying.order_state import Orders
from tests.projections.refold import told

Sums = dict[str, dict[tuple[Any, ...], list[int]]]
KINDS = ("status", "minute", "hour", "day", "sku", "customer")


def sales_of(recorded: Iterable[RecordedEvent]) -> Sums:
    """{kind: {(name, currency): sums}} of whole partitions, or of a first part of each; without sums of nothing."""
    orders, sums = Orders(0), sales.Sums()
    for state, event in orders.take(told(recorded)):
        sales.add_in_time(sums, state, event)
    sales.add_states(sums, orders.by_id.values())
    found: Sums = {kind: {} for kind in KINDS}
    for (kind, *key), row in sums.items():
        if any(row):
            found[kind][tuple(key)] = row
    return found


def up_to(recorded: Iterable[RecordedEvent], offsets: Mapping[int, int]) -> list[RecordedEvent]:
    """The events before {partition: next offset}."""
    return [one for one in recorded if one.position.offset < offsets.get(one.position.partition, 0)]
