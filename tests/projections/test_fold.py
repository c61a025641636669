"""The orders view's fold, without a database: against an independent fold, and out of sequence."""

from datetime import UTC, datetime
from random import Random
from uuid import uuid4

import pytest
from msgspec.structs import replace

from eventlog.recorded import read_record
from projections.orders.fold import OrderRow, fold
from schemas.events import OrderCancelled, OrderConfirmed, UnknownEvent, WriterElected
from tests.kit.codec import local_codec
from tests.projections.histories import history, placed
from tests.projections.records import records
from tests.projections.refold import folded

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
LATER = datetime(2026, 3, 1, 9, 31, tzinfo=UTC)


def test_it_agrees_with_an_independent_fold() -> None:
    random, codec = Random(7), local_codec()
    events = [event for _ in range(300) for event in history(random)]
    recorded = [read_record(codec, 0, one) for one in records(codec, events)]
    rows: dict[str, OrderRow] = {}
    for one in recorded:
        assert not isinstance(one.event, WriterElected)
        key = str(one.event.order_id)
        rows[key] = fold(rows.get(key), one.event, one.metadata.version, one.metadata.time)
    expected = folded(recorded)
    assert rows.keys() == expected.keys()
    for key, row in rows.items():
        want = expected[key]
        assert [[line.sku, line.quantity, line.unit_price, line.returned] for line in row.lines] == want["lines"]
        for name in ("customer_id", "email", "status", "total", "paid", "refunded", "reason", "version", "updated_at"):
            assert getattr(row, name) == want[name], name


def test_erased_personal_data_is_null() -> None:
    event = placed()
    erased = type(event)(event.order_id, event.customer_id, event.currency, event.lines, None)
    row = fold(None, erased, 1, NOW)
    assert (row.email, row.shipping_address) == (None, None)
    assert fold(row, OrderCancelled(event.order_id, None), 2, NOW).reason is None


def test_nothing_to_pay_is_paid_when_confirmed() -> None:
    row = fold(None, placed(), 1, NOW)
    assert fold(row, OrderConfirmed(row.order_id, 0), 2, NOW).status == "paid"


def test_an_event_of_an_unknown_type_takes_its_place_in_the_sequence() -> None:
    row = fold(None, placed(), 1, NOW)
    wrapped = UnknownEvent(row.order_id, "OrderWrapped")
    assert fold(row, wrapped, 2, LATER) == replace(row, version=2, updated_at=LATER)
    assert fold(fold(row, wrapped, 2, NOW), OrderConfirmed(row.order_id, 998), 3, NOW).status == "confirmed"
    for version in (1, 3):
        with pytest.raises(ValueError, match=rf"version {version} of order .* follows 1"):
            fold(row, wrapped, version, NOW)
    with pytest.raises(ValueError, match="begins with OrderWrapped"):
        fold(None, wrapped, 1, NOW)


def test_an_event_that_came_twice_or_too_early_is_refused() -> None:
    first = placed()
    row = fold(None, first, 1, NOW)
    confirmed = OrderConfirmed(first.order_id, 998)
    with pytest.raises(ValueError, match=r"version 1 of order .* follows 1"):
        fold(row, first, 1, NOW)
    with pytest.raises(ValueError, match=r"version 3 of order .* follows 1"):
        fold(row, confirmed, 3, NOW)
    with pytest.raises(ValueError, match="begins with OrderConfirmed"):
        fold(None, OrderConfirmed(uuid4(), 1), 1, NOW)
    with pytest.raises(ValueError, match="placed twice"):
        fold(row, first, 2, NOW)
