"""The sales projection without Kafka: against an independent fold, out of sequence, and cut off at every row."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import uuid4

import pytest

from eventlog.recorded import Fact, RecordedEvent, read_record
from projections.sales.fold import Key, fold, longer_spans
from projections.sales.rows import read_sum_key, sum_key
from projections.sales.view import KINDS, SalesView
from projections.table_view import Row, Write
from projections.view import EventFailed
from schemas.events import OrderCancelled, OrderConfirmed, PaymentRecorded, PaymentRefunded
from tests.kit.codec import local_codec
from tests.projections.histories import history, placed
from tests.projections.records import records
from tests.projections.sales_refold import Sums, sales_of

CODEC, VIEW = local_codec(), SalesView()
NOW = datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)


class Rows(dict[bytes, bytes]):
    """A partition of the table, in memory."""

    def fold(self, events: Sequence[RecordedEvent]) -> list[Write]:
        facts = [Fact(e.position.offset, e.metadata.time, e.metadata.version, e.metadata.term, e.event) for e in events]
        return VIEW.fold(0, self.fetch, facts)

    def fetch(self, keys: list[bytes]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    def read(self, query: Mapping[str, str]) -> list[Row]:
        first, end = VIEW.bounds(query)
        return list(VIEW.read([(key, self[key]) for key in sorted(self) if first <= key < end], query))


def sums_in(rows: Rows) -> Sums:
    """All sums of a table, in the form of `sales_of`."""
    return {kind: {key: sums for key, sums in rows.read({"kind": kind}) if any(sums)} for kind in KINDS}


def log_of(orders: int, seed: int) -> list[RecordedEvent]:
    """Histories of several orders, mixed."""
    random = Random(seed)
    histories = [history(random) for _ in range(orders)]
    events = []
    while histories:
        events.append(random.choice(histories).pop(0))
        histories = [rest for rest in histories if rest]
    return [read_record(CODEC, 0, one) for one in records(CODEC, events)]


def test_it_agrees_with_an_independent_fold() -> None:
    log, rows, random = log_of(300, seed=7), Rows(), Random(1)
    done = 0
    while done < len(log):
        batch = log[done : done + random.randint(1, 60)]
        rows.update(rows.fold(batch))
        done += len(batch)
        assert sums_in(rows) == sales_of(log[:done])


@pytest.mark.parametrize("seed", range(5))
def test_cut_off_at_any_row_the_same_events_lead_to_the_same_sums(seed: int) -> None:
    """A crash leaves a first part of a batch's rows; what comes after it, is cut into batches differently."""
    log, random = log_of(25, seed), Random(seed)
    middle = len(log) // 2
    before = Rows()
    before.update(before.fold(log[:middle]))
    end = middle + random.randint(5, 40)
    written = before.fold(log[middle:end])
    for cut in range(len(written) + 1):
        rows = Rows(before)
        rows.update(written[:cut])
        done = middle
        while done < len(log):
            upto = done + random.randint(1, 30)
            rows.update(rows.fold(log[done:upto]))
            done = upto
        assert sums_in(rows) == sales_of(log), f"cut off after {cut} of {len(written)} rows"


def test_what_was_counted_before_is_not_counted_again() -> None:
    log, rows = log_of(20, seed=3), Rows()
    rows.update(rows.fold(log))
    before = Rows(rows)
    rows.update(rows.fold(log[10:]))
    assert rows == before


def test_a_late_event_counts_when_it_happened() -> None:
    first = placed()
    order, _ = fold(None, first, 1, NOW)
    order, _ = fold(order, OrderConfirmed(first.order_id, 998), 2, NOW)
    _, changes = fold(order, PaymentRecorded(first.order_id, 998, "a"), 3, NOW - timedelta(days=40))
    minute = int(datetime(2026, 1, 20, 23, 59, tzinfo=UTC).timestamp())
    assert (Key("minute", minute, "EUR"), (0, 998, 0)) in changes


def test_a_minute_is_in_an_hour_and_in_a_day() -> None:
    day = int(datetime(2026, 1, 20, tzinfo=UTC).timestamp())
    hour = day + 23 * 3_600
    assert longer_spans(Key("minute", hour + 59 * 60, "EUR")) == [Key("hour", hour, "EUR"), Key("day", day, "EUR")]


def test_a_refund_lowers_its_own_time_and_the_customers_revenue() -> None:
    first = placed()
    order, _ = fold(None, first, 1, NOW)
    _, changes = fold(order, PaymentRefunded(first.order_id, 7), 2, NOW + timedelta(seconds=1))
    assert (Key("customer", "customer-1", "EUR"), (0, -7)) in changes
    assert (Key("minute", int(datetime(2026, 3, 2, tzinfo=UTC).timestamp()), "EUR"), (0, 0, 7)) in changes


def test_what_was_never_confirmed_was_never_sold() -> None:
    first = placed()
    order, _ = fold(None, first, 1, NOW)
    _, changes = fold(order, OrderCancelled(first.order_id, None), 2, NOW)
    assert changes == [(Key("status", "open"), (-1,)), (Key("status", "cancelled"), (1,))]


def test_an_event_out_of_sequence_is_refused() -> None:
    first = placed()
    order, _ = fold(None, first, 1, NOW)
    with pytest.raises(ValueError, match=r"version 3 of order .* follows 1"):
        fold(order, OrderConfirmed(first.order_id, 998), 3, NOW)
    with pytest.raises(ValueError, match="begins with OrderConfirmed"):
        fold(None, OrderConfirmed(uuid4(), 1), 1, NOW)
    with pytest.raises(ValueError, match="placed twice"):
        fold(order, first, 2, NOW)
    log = [read_record(CODEC, 0, one) for one in records(CODEC, [OrderConfirmed(uuid4(), 1)])]
    with pytest.raises(EventFailed, match=r"the record at 0:0 cannot be applied: order .* begins with OrderConfirmed"):
        Rows().fold(log)


@pytest.mark.parametrize(
    "key",
    [
        Key("status", "open"),
        Key("minute", 1_772_357_400, "EUR"),
        Key("day", -86_400, "JPY"),
        Key("sku", "TEA-1", "EUR"),
        Key("customer", "Zoë\n", "GBP"),
    ],
)
def test_keys_can_be_read_back(key: Key) -> None:
    assert read_sum_key(key.kind, sum_key(key)) == key


def test_a_stretch_of_time_and_a_currency_are_cut_out() -> None:
    rows = Rows()
    log = [read_record(CODEC, 0, one) for one in records(CODEC, [placed() for _ in range(180)])]
    rows.update(rows.fold(log))
    first = int(log[0].metadata.time.timestamp())
    query: Mapping[str, str] = {"kind": "minute", "since": str(first + 60), "until": str(first + 120)}
    assert rows.read(query) == [((first + 60, "EUR"), [60, 0, 0])]
    assert rows.read({**query, "currency": "JPY"}) == []
    with pytest.raises(ValueError, match="kind is one of status, minute"):
        rows.read({"kind": "nonsense"})


def test_sums_may_be_larger_than_any_machine_word() -> None:
    rows, orders = Rows(), [placed() for _ in range(8)]
    events = [event for order in orders for event in (order, PaymentRecorded(order.order_id, 2**62, "a"))]
    rows.update(rows.fold([read_record(CODEC, 0, one) for one in records(CODEC, events)]))
    (revenue,) = (sums for _, sums in rows.read({"kind": "customer"}))
    assert revenue == [8, 8 * 2**62]
