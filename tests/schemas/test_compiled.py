"""The compiled writers against fastavro's: the same bytes of every event, or both refuse."""

from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_writer
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas import avro, events
from schemas.codec import EVENT_NAMES
from schemas.compiled import compile_writer
from schemas.events import LogEvent
from tests.kit.codec import local_codec
from tests.schemas.test_codec import ORDER, PLACED

CODEC = local_codec()
PERSONAL = {
    events.OrderPlaced: "Contact",
    events.ShippingAddressChanged: "Destination",
    events.OrderRejected: "Reason",
    events.OrderCancelled: "Reason",
    events.LinesReturned: "Reason",
}
REFUSED = (ValueError, OverflowError)
MANY_LINES = tuple(events.Line("é" * (n % 200), n * 2**20, n - 5) for n in range(500))


def by_fastavro(event: LogEvent) -> bytes:
    """The event as fastavro writes it: what the log has held from the beginning."""
    data = asdict(event)
    if record := PERSONAL.get(type(event)):
        data["personal_data"] = body(record, data["personal_data"]) if data["personal_data"] else b""
    name = type(event).__name__
    return bytes([0, 0, 0, 0, EVENT_NAMES.index(name) + 1]) + body(name, data)


def body(name: str, data: dict[str, Any]) -> bytes:
    buffer = BytesIO()
    schemaless_writer(buffer, parse_schema(avro.latest(name)), data)
    return buffer.getvalue()


@settings(max_examples=1000, deadline=None)
@given(st.one_of(*[st.from_type(getattr(events, name)) for name in EVENT_NAMES]))
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


@dataclass(frozen=True, slots=True)
class Thing:
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
