"""Public events survive the way to bytes and back, and what is none of them says why."""

from typing import get_args
from uuid import UUID

import pytest

from schemas import avro
from schemas.codec import DecodeError
from schemas.events import Address, Contact
from schemas.public_codec import PublicCodec
from schemas.public_events import (
    InventoryRejected,
    InventoryReserved,
    Line,
    OrderCancelled,
    OrderChanged,
    OrderConfirmed,
    OrderDelivered,
    OrderPlaced,
    OrderRejected,
    OrderReturned,
    OrderShipped,
    PublicEvent,
    ReturnedLine,
    Shortage,
)

ORDER = UUID("11111111-2222-4333-8444-555555555555")
ADDRESS = Address("Ada", "12 Dorset Street", "London", "SW1Y 4JH", "GB")
WHOLE = (ORDER, 1, "ada", "EUR", (Line("TEA", 2, 499), Line("CUP", 1, 2**40)), 998 + 2**40)
EVENTS = (
    OrderPlaced(*WHOLE, Contact("ada@example.com", ADDRESS)),
    OrderChanged(*WHOLE, None),
    OrderConfirmed(ORDER, 2, f"/orders/{ORDER}"),
    OrderRejected(ORDER, 2, f"/orders/{ORDER}"),
    OrderCancelled(ORDER, 2, f"/orders/{ORDER}"),
    OrderShipped(ORDER, 4, f"/orders/{ORDER}", "DHL", "JD01"),
    OrderDelivered(ORDER, 5, f"/orders/{ORDER}"),
    OrderReturned(ORDER, 6, f"/orders/{ORDER}", (ReturnedLine("TEA", 1),)),
    InventoryReserved(ORDER, 1),
    InventoryRejected(ORDER, 1, (Shortage("TEA", 2, 1),)),
)
IDS = {kind.__name__: number for number, kind in enumerate(get_args(PublicEvent), start=1)}


def no_other(schema_id: int) -> avro.Schema:
    raise KeyError(schema_id)


CODEC = PublicCodec(IDS, no_other)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_comes_back(event: PublicEvent) -> None:
    assert CODEC.decode(CODEC.encode(event)) == event


def test_every_kind_is_tried_and_has_a_schema() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(PublicEvent))
    assert {f"public.{name}" for name in IDS} == {name for name in avro.versions() if name.startswith("public.")}


def test_a_reader_that_writes_nothing_looks_schemas_up() -> None:
    schemas = {number: avro.latest(f"public.{name}") for name, number in IDS.items()}
    assert PublicCodec({}, schemas.__getitem__).decode(CODEC.encode(EVENTS[0])) == EVENTS[0]


def test_a_newer_version_is_read_by_a_reader_that_does_not_know_it() -> None:
    newer = avro.latest("public.InventoryReserved")
    newer = {**newer, "fields": [*newer["fields"], {"name": "depot", "type": "string", "default": ""}]}
    written = bytearray(CODEC.encode(EVENTS[8]))
    written[4] = 99
    assert PublicCodec({}, {99: newer}.__getitem__).decode(bytes(written) + b"\x04NW") == EVENTS[8]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "magic byte"),
        (b"\x01\x00\x00\x00\x01", "magic byte"),
        (b"\x00\x00\x00\x00\x63", "no schema 99"),
        (CODEC.encode(EVENTS[0])[:-3], "not a readable OrderPlaced"),
        (CODEC.encode(EVENTS[2]) + b"x", "1 bytes follow the OrderConfirmed"),
    ],
)
def test_what_is_no_public_event_says_why(value: bytes | None, why: str) -> None:
    with pytest.raises(DecodeError, match=why):
        CODEC.decode(value)


def test_an_event_of_the_log_is_no_public_one() -> None:
    with pytest.raises(DecodeError, match="no public event of ours"):
        PublicCodec({}, lambda _id: avro.latest("OrderConfirmed")).decode(b"\x00\x00\x00\x00\x07\x00")


def test_the_address_is_personal() -> None:
    erased = CODEC.decode(CODEC.encode(EVENTS[1]))
    assert isinstance(erased, OrderChanged)
    assert erased.personal_data is None
    assert b"Dorset" not in CODEC.encode(erased)
