"""The compiled writers and readers against fastavro's: the same bytes, the same events, or both refuse."""

from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Struct, to_builtins

from schemas import avro, events
from schemas.codec import EVENT_NAMES, DecodeError
from schemas.compiled import compile_writer
from schemas.events import LogEvent
from tests.kit.codec import local_codec
from tests.schemas.test_codec import GOLDEN, ORDER, PLACED

CODEC = local_codec()
# Two blocks of one line each, the first with its size in bytes before it, as the specification allows.
PLACED_IN_BLOCKS = (
    b"H" + str(ORDER).encode() + b"\x02c\x06EUR" + b"\x01\x0a\x02T\x04\x06" + b"\x02\x02C\x02\x02" + b"\x00\x00\x00"
)
PERSONAL = {
    events.OrderPlaced: "Contact",
    events.ShippingAddressChanged: "Destination",
    events.OrderRejected: "Reason",
    events.OrderCancelled: "Reason",
    events.LinesReturned: "Reason",
}
REFUSED = (ValueError, OverflowError)
MANY_LINES = tuple(events.Line("é" * (n % 200), n * 2**20, n - 5) for n in range(500))

any_event = st.one_of(*[st.from_type(getattr(events, name)) for name in EVENT_NAMES])


def by_fastavro(event: LogEvent) -> bytes:
    """The event as fastavro writes it: what the log has held from the beginning."""
    data = to_builtins(event, builtin_types=(UUID,))
    if record := PERSONAL.get(type(event)):
        data["personal_data"] = body(record, data["personal_data"]) if data["personal_data"] else b""
    name = type(event).__name__
    return bytes([0, 0, 0, 0, EVENT_NAMES.index(name) + 1]) + body(name, data)


def body(name: str, data: dict[str, Any]) -> bytes:
    buffer = BytesIO()
    schemaless_writer(buffer, parse_schema(avro.latest(name)), data)
    return buffer.getvalue()


@settings(max_examples=1000, deadline=None)
@given(any_event)
@example(PLACED)
@example(events.OrderPlaced(ORDER, "c" * 5000, "EUR", MANY_LINES, None))
@example(events.OrderConfirmed(ORDER, 2**63 - 1))
@example(events.OrderConfirmed(ORDER, -(2**63)))
@example(events.OrderConfirmed(ORDER, 2**63))
@example(events.OrderConfirmed(ORDER, -(2**63) - 1))
@example(events.LineRemoved(ORDER, "\ud800"))
def test_the_bytes_are_fastavro_s(event: LogEvent) -> None:
    try:
        expected = by_fastavro(event)
    except REFUSED:
        with pytest.raises(REFUSED):
            CODEC.encode(event)
        return
    assert CODEC.encode(event) == expected


def read_by_fastavro(name: str, encoded: bytes) -> tuple[dict[str, Any], bytes]:
    """The fields that fastavro reads, with its personal data read too, and the bytes it left."""
    buffer, schema = BytesIO(encoded), parse_schema(avro.latest(name))
    data: Any = schemaless_reader(buffer, schema, None)
    data.pop("key_id", None)
    if record := PERSONAL.get(getattr(events, name)):
        schema, given_ = parse_schema(avro.latest(record)), data["personal_data"]
        data["personal_data"] = schemaless_reader(BytesIO(given_), schema, None) if given_ else None
    return as_read(data), buffer.read()


# Longs of every length, a length that is negative, an array's block with its size, bytes that are no text.
pieces = st.sampled_from(
    [b"\x00", b"\x02", b"\x01", b"\x03\x08", b"\x80\x01", b"\xff" * 4 + b"\x00", b"\xff" * 9 + b"\x02"]
)


@settings(max_examples=2000, deadline=None)
@given(any_event, st.integers(37, 70), st.one_of(pieces, st.binary(min_size=1, max_size=2)))
def test_what_is_read_of_damaged_bytes_is_what_fastavro_reads(event: LogEvent, at: int, written: bytes) -> None:
    try:
        whole = CODEC.encode(event)
    except REFUSED:
        return
    damaged = whole[: 5 + at] + written + whole[5 + at + len(written) :]
    try:
        found = CODEC.decode(damaged)
    except DecodeError:
        return  # it may be stricter
    name = type(event).__name__
    assert (as_read(to_builtins(found, builtin_types=(UUID,))), b"") == read_by_fastavro(name, damaged[5:])


def as_read(data: dict[str, Any]) -> dict[str, Any]:
    """The fields with lists where there may be tuples."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in data.items()}


def test_an_array_may_come_in_blocks() -> None:
    event = CODEC.decode(bytes([0, 0, 0, 0, 1]) + PLACED_IN_BLOCKS)
    assert isinstance(event, events.OrderPlaced)
    assert event.lines == (events.Line("T", 2, 3), events.Line("C", 1, 1))


@settings(deadline=None)
@given(st.integers(1, len(GOLDEN) - 1))
def test_bytes_that_were_cut_off_are_no_event(length: int) -> None:
    with pytest.raises(DecodeError):
        CODEC.decode(GOLDEN[:length])


class Thing(Struct):
    """What a schema of a test writes."""

    size: float


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ({"name": "size", "type": "double"}, "double"),
        ({"name": "size", "type": ["null", "long"]}, "null"),
        ({"name": "weight", "type": "long"}, "no weight"),
    ],
)
def test_a_schema_it_cannot_write_is_refused_at_once(field: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        compile_writer({"type": "record", "name": "Thing", "fields": [field]}, Thing)
