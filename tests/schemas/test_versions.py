"""Events of other versions than the latest, and of types that only a newer release has: what a reader makes of them."""

import copy
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from hypothesis import given
from hypothesis import strategies as st
from msgspec import convert

from schemas import avro, events
from schemas.avro import Schema
from schemas.codec import EVENT_NAMES, Codec, DecodeError
from schemas.events import OrderShipped, PaymentRecorded, UnknownEvent
from schemas.upcasters import UPCASTERS

ORDER = UUID("6f1c1f0a-6a5e-4a55-9d5c-0d5f6f1f2a11")
IDS = {name: number for number, name in enumerate(EVENT_NAMES, start=1)}
OTHER = 99  # the id of a schema that the codec has to look up
OLDER = [(name, version) for name in EVENT_NAMES for version in range(1, len(avro.versions()[name]))]
WRAPPED: Schema = {
    "type": "record",
    "name": "OrderWrapped",
    "namespace": "orderlog.orders",
    "fields": [
        {"name": "order_id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "paper", "type": "string"},
    ],
}


def codec(other: Schema) -> Codec:
    return Codec(IDS, {OTHER: other}.__getitem__)


def written(schema: Schema, **fields: Any) -> bytes:
    body = BytesIO()
    schemaless_writer(body, parse_schema(schema), {"order_id": ORDER, **fields})
    return b"\x00" + OTHER.to_bytes(4) + body.getvalue()


def test_a_payment_of_version_1_has_no_method() -> None:
    first = avro.versions()["PaymentRecorded"][0]
    value = written(first, amount=998, reference="pay-1")
    assert codec(first).decode(value) == PaymentRecorded(ORDER, 998, "pay-1", None)


def test_a_shipment_of_version_1_went_in_one_parcel() -> None:
    first = avro.versions()["OrderShipped"][0]
    value = written(first, carrier="DHL", tracking="JD01")
    assert codec(first).decode(value) == OrderShipped(ORDER, "DHL", "JD01", ("JD01",))
    assert codec(first).decode(value, personal=False) == OrderShipped(ORDER, "DHL", "JD01", ("JD01",))


@pytest.mark.parametrize(("name", "version"), OLDER)
@given(data=st.data())
def test_an_older_version_is_read_as_avro_resolves_it_and_then_lifted(
    data: st.DataObject, name: str, version: int
) -> None:
    """The compiled reader against fastavro's resolution of the same bytes, for every version that was followed."""
    schema, kind = avro.versions()[name][version - 1], getattr(events, name)
    event = data.draw(st.from_type(kind))
    fields = {field["name"]: getattr(event, field["name"]) for field in schema["fields"]}
    try:
        value = written(schema, **fields)
    except (ValueError, OverflowError, UnicodeEncodeError):
        return
    resolved = schemaless_reader(BytesIO(value[5:]), parse_schema(schema), parse_schema(avro.latest(name)))
    expected = convert(resolved, kind)
    for one in range(version, len(avro.versions()[name])):
        expected = UPCASTERS.get((name, one), lambda same: same)(expected)
    assert codec(schema).decode(value) == expected


def test_a_registry_that_leaves_out_documentation_gives_the_same_version() -> None:
    bare = copy.deepcopy(avro.versions()["OrderShipped"][0])
    for one in (bare, *bare["fields"]):
        one.pop("doc")
    shipped = codec(bare).decode(written(bare, carrier="DHL", tracking="JD01"))
    assert shipped == OrderShipped(ORDER, "DHL", "JD01", ("JD01",))


def test_a_version_that_is_newer_than_all_committed_ones_is_read_as_the_latest() -> None:
    newer = copy.deepcopy(avro.latest("OrderShipped"))
    newer["fields"].append({"name": "weight", "type": ["null", "double"], "default": None})
    value = written(newer, carrier="DHL", tracking="JD01", parcels=["JD01", "JD02"], weight=2.5)
    assert codec(newer).decode(value) == OrderShipped(ORDER, "DHL", "JD01", ("JD01", "JD02"))
    with pytest.raises(DecodeError, match="1 bytes follow the OrderShipped"):
        codec(newer).decode(value + b"x")
    with pytest.raises(DecodeError, match="not a readable OrderShipped"):
        codec(newer).decode(value[:-12])  # within the last parcel


def test_an_event_of_an_unknown_type_is_its_order_and_its_type() -> None:
    value = written(WRAPPED, paper="gold")
    assert codec(WRAPPED).decode(value) == UnknownEvent(ORDER, "OrderWrapped")
    assert codec(WRAPPED).unknown_type(value) == "OrderWrapped"
    with pytest.raises(DecodeError, match="not a readable OrderWrapped"):
        codec(WRAPPED).decode(value[:-1])
    with pytest.raises(DecodeError, match="1 bytes follow the OrderWrapped"):
        codec(WRAPPED).decode(value + b"x")


@pytest.mark.parametrize(
    "schema",
    [
        {**WRAPPED, "namespace": "somebody.else"},
        {**WRAPPED, "fields": WRAPPED["fields"][1:]},
        {**WRAPPED, "name": "Reason"} | {"fields": avro.latest("Reason")["fields"]},
    ],
    ids=["not ours", "of no order", "personal data"],
)
def test_what_is_no_event_of_an_order_is_not_taken_for_a_newer_one(schema: Schema) -> None:
    value = b"\x00" + OTHER.to_bytes(4) + b"\x00"
    with pytest.raises(DecodeError, match="no event of ours"):
        codec(schema).decode(value)
    assert codec(schema).unknown_type(value) is None


def test_known_events_and_what_is_no_event_are_of_no_unknown_type() -> None:
    known = codec(WRAPPED).encode(OrderShipped(ORDER, "DHL", "JD01", ("JD01",)))
    assert [codec(WRAPPED).unknown_type(value) for value in (known, b"", None, b"\x00\x00\x00\x00\x62")] == [None] * 4


def test_every_upcaster_is_of_a_version_that_was_followed() -> None:
    assert set(UPCASTERS) <= set(OLDER)
