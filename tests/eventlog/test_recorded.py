"""The envelope's headers, and the filter that drops what a deposed writer appended."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from msgspec.structs import replace

from eventlog.positions import Position
from eventlog.recorded import Fact, Metadata, RecordedEvent, TermFilter, from_headers, read_fact, to_headers
from schemas.events import OrderConfirmed, WriterElected
from tests.kit.codec import local_codec
from tests.projections.records import Record

CODEC = local_codec()
ORDER = UUID("6f1c1f0a-6a5e-4a55-9d5c-0d5f6f1f2a11")
METADATA = Metadata(
    event_id=f"{ORDER}/2",
    time=datetime(2026, 3, 1, 12, 30, 15, 123456, UTC),
    subject=str(ORDER),
    version=2,
    term=7,
    command_id="a-key",
    correlation_id="a-request",
    causation_id="a-cause",
    fingerprint="f" * 32,
    traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01",
)


def test_headers_follow_cloud_events_and_come_back() -> None:
    headers = to_headers(OrderConfirmed(ORDER, 100), METADATA)
    assert from_headers(headers) == METADATA
    assert headers == [
        ("ce_specversion", b"1.0"),
        ("ce_id", f"{ORDER}/2".encode()),
        ("ce_type", b"OrderConfirmed"),
        ("ce_source", b"orderlog/command-api"),
        ("ce_time", b"2026-03-01T12:30:15.123456+00:00"),
        ("ce_subject", str(ORDER).encode()),
        ("content-type", b"application/avro"),
        ("version", b"2"),
        ("term", b"7"),
        ("command_id", b"a-key"),
        ("correlation_id", b"a-request"),
        ("causation_id", b"a-cause"),
        ("fingerprint", b"f" * 32),
        ("traceparent", METADATA.traceparent.encode()),
    ]


def test_what_is_empty_is_left_out() -> None:
    bare = replace(METADATA, fingerprint="", traceparent="")
    assert {"fingerprint", "traceparent"}.isdisjoint(dict(to_headers(OrderConfirmed(ORDER, 100), bare)))


@pytest.mark.parametrize("missing", ["ce_id", "ce_time", "ce_subject", "version", "term", "command_id"])
def test_a_missing_header_is_named(missing: str) -> None:
    headers = [pair for pair in to_headers(OrderConfirmed(ORDER, 100), METADATA) if pair[0] != missing]
    with pytest.raises(ValueError, match=missing):
        from_headers(headers)


@pytest.mark.parametrize("order", ["as written", "turned round", "one less in front"])
def test_a_fact_is_read_wherever_its_headers_stand(order: str) -> None:
    event = OrderConfirmed(ORDER, 100)
    written = to_headers(event, METADATA)
    headers = {"as written": written, "turned round": written[::-1], "one less in front": written[1:]}[order]
    record = Record(17, CODEC.encode(event), headers)
    assert read_fact(CODEC, record) == Fact(17, METADATA.time, 2, 7, event)


@pytest.mark.parametrize("missing", ["ce_time", "version", "term"])
def test_a_header_that_a_fact_lacks_is_named(missing: str) -> None:
    headers = [pair for pair in to_headers(OrderConfirmed(ORDER, 100), METADATA) if pair[0] != missing]
    with pytest.raises(ValueError, match=missing):
        read_fact(CODEC, Record(0, CODEC.encode(OrderConfirmed(ORDER, 100)), headers))
    with pytest.raises(ValueError, match="ce_time"):
        read_fact(CODEC, Record(0, CODEC.encode(OrderConfirmed(ORDER, 100)), []))


def recorded(term: int, *, barrier: bool = False) -> RecordedEvent:
    event = WriterElected("w", term, 1, 1, "http://w") if barrier else OrderConfirmed(ORDER, 1)
    return RecordedEvent(Position(0, 0), METADATA.time, replace(METADATA, term=term), event)


def test_what_a_deposed_writer_appended_is_dropped_and_counted() -> None:
    terms = TermFilter()
    history = [
        (recorded(1, barrier=True), True),
        (recorded(1), True),
        (recorded(2, barrier=True), True),
        (recorded(1), False),
        (recorded(2), True),
        (recorded(1, barrier=True), False),
        (recorded(2), True),
    ]
    assert [terms.admits(one) for one, _ in history] == [admitted for _, admitted in history]
    assert (terms.term, terms.dropped) == (2, 2)


def test_of_two_barriers_with_one_term_the_first_has_it() -> None:
    terms = TermFilter(term=4)
    assert terms.admits(recorded(5, barrier=True))
    assert not terms.admits(recorded(5, barrier=True))
