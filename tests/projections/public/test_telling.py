"""What the world is told of any lives of orders, without I/O."""

from datetime import UTC, datetime
from random import Random
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from eventlog.positions import Position
from eventlog.recorded import Metadata, RecordedEvent
from projections.public.fold import OpenOrder
from projections.public.telling import published
from projections.view import EventFailed
from schemas import public_events as public
from schemas.events import (
    Contact,
    Destination,
    LineAdded,
    OrderCancelled,
    OrderConfirmed,
    OrderEvent,
    OrderShipped,
    PaymentRecorded,
    ShippingAddressChanged,
)
from tests.projections.histories import HOME, placed
from tests.projections.parking_world import interleaved
from tests.projections.public.expected import expected

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def recorded(events: list[OrderEvent]) -> list[RecordedEvent]:
    """A partition that begins with `events`."""
    versions: dict[UUID, int] = {}
    log = []
    for offset, event in enumerate(events):
        version = versions[event.order_id] = versions.get(event.order_id, 0) + 1
        why = (f"command-{offset}", f"correlation-{offset}", "", "", f"trace-{offset}")
        about = Metadata(f"event-{offset}", NOW, str(event.order_id), version, 1, *why)
        log.append(RecordedEvent(Position(2, offset), NOW, about, event))
    return log


@given(st.integers(), st.integers(1, 8), st.lists(st.integers(1, 20), max_size=10))
def test_any_lives_in_batches_of_any_size_come_to_what_is_expected(seed: int, orders: int, sizes: list[int]) -> None:
    log = recorded(interleaved(Random(seed), orders))
    is_open: dict[UUID, OpenOrder | None] = {}
    told, rest = [], log
    for size in [*sizes, len(log)]:
        told += published(is_open, rest[:size])
        rest = rest[size:]
    assert told == expected(log)


def test_a_message_says_where_it_comes_from() -> None:
    order = placed()
    first, changed = published({}, recorded([order, LineAdded(order.order_id, "CUP", 1, 5)]))
    lines, contact = (public.Line("TEA", 2, 499), public.Line("CUP", 1, 5)), order.personal_data
    assert changed.event == public.OrderChanged(order.order_id, 2, "customer-1", "EUR", lines, 1003, contact)
    assert (first.topic, changed.topic) == ("order.placed", "order.changed")
    assert (changed.event_id, changed.causation_id) == ("order.events:2:1", "event-1")
    assert (changed.correlation_id, changed.traceparent, changed.time) == ("correlation-1", "trace-1", NOW)


def test_what_was_erased_stays_so() -> None:
    order = placed()
    there = ShippingAddressChanged(order.order_id, Destination(HOME))
    erased: list[list[OrderEvent]] = [
        [replace(order, personal_data=None), there],
        [order, ShippingAddressChanged(order.order_id, None), there],
    ]
    for events in erased:
        last = published({}, recorded(events))[-1].event
        assert isinstance(last, public.OrderChanged)
        assert last.personal_data is None
    last = published({}, recorded([order, there]))[-1].event
    assert isinstance(last, public.OrderChanged)
    assert last.personal_data == Contact("customer-1@example.com", HOME)


def test_payments_are_nobodys_business_and_only_open_orders_are_remembered() -> None:
    order = placed()
    is_open: dict[UUID, OpenOrder | None] = {}
    log = recorded([order, OrderConfirmed(order.order_id, 998), PaymentRecorded(order.order_id, 998, "a")])
    assert [one.topic for one in published(is_open, log)] == ["order.placed", "order.confirmed"]
    assert is_open == {order.order_id: None}


@pytest.mark.parametrize("begins", [True, False])
def test_versions_may_be_left_out_but_not_come_again(begins: bool) -> None:
    """Events of a type that this release does not know count as well."""
    order = placed()
    log = recorded([order, LineAdded(order.order_id, "A", 1, 1), LineAdded(order.order_id, "B", 1, 1)])
    assert len(published({}, [log[0], log[2]])) == 2
    with pytest.raises(EventFailed, match="follows 2" if begins else "is not open"):
        published({}, [*log[:2], log[1]] if begins else log[1:])


def test_an_event_that_does_not_follow_is_refused() -> None:
    order = placed()
    for event, words in (
        (order, "placed twice"),
        (OrderShipped(order.order_id, "DHL", "JD01"), "is open"),
        (OrderConfirmed(uuid4(), 1), "is not open"),
    ):
        with pytest.raises(EventFailed, match=words):
            published({}, recorded([order, event]))
    assert [one.topic for one in published({}, recorded([OrderCancelled(uuid4(), None)]))] == ["order.cancelled"]
