"""A batch of records against the database: what no row can hold is set aside, and the others are taken in."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from eventlog.messages import message_headers
from eventlog.partitioning import order_key
from eventlog.settings import Settings
from service.database import connect
from subscribers.deliveries import Delivery, open_delivery
from subscribers.taking import Batch, take
from tests.kit.subscribers import PublicTopics, placed
from tests.subscribers.echo import ECHO
from tests.subscribers.test_runner import execute, noted


def delivery(topics: PublicTopics, offset: int, order: UUID, **headers: bytes) -> Delivery:
    """order.placed of `order`, with other headers."""
    message = topics.message(placed(order))
    told = dict(message_headers(message, "test")) | headers
    value = topics.codec.encode(message.event)
    return Delivery("order.placed", 0, offset, 0, order_key(order), value, tuple(told.items()))


async def taken(topics: PublicTopics, settings: Settings, *deliveries: Delivery) -> Batch:
    opened = [open_delivery(topics.codec, one) for one in deliveries]
    async with await connect(settings.postgres_url) as connection:
        return await take(connection, ECHO, opened, settings)


@pytest.mark.parametrize(
    ("header", "value", "why"),
    [
        ("ce_id", b"a\x00b", "has a NUL"),
        ("ce_id", b"x" * 3_000, "longer than 500 characters"),
        ("ce_id", b"", "ce_id is empty"),
        ("ce_id", b"\xff\xfe", "can't decode"),
        ("correlation_id", b"a\x00b", r"correlation_id has a NUL: a\x00b"),
    ],
)
async def test_a_header_that_no_row_can_hold_parks_its_record_alone(
    echo: PublicTopics, settings: Settings, header: str, value: bytes, why: str
) -> None:
    bad, good = uuid4(), uuid4()
    strange = delivery(echo, 0, bad, **{header: value})
    batch = await taken(echo, settings, strange, delivery(echo, 1, good))
    (parked,) = batch.parked
    assert why in parked.reason
    assert noted(settings) == [f"{good}:1"]
    parked_id = f"{bad}:1" if header != "ce_id" else "order.placed:0:0"
    assert execute(settings, "SELECT event_id, order_id FROM subscribers.parked") == [(parked_id, bad)]
    again = await taken(echo, settings, strange, replace(strange, offset=2))
    assert [one.delivery.offset for one in again.parked] == [0, 2]
