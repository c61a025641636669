"""A public event's headers say what the message knew."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from eventlog.messages import Message, message_headers, read_message
from schemas.public_events import OrderConfirmed

EVENT = OrderConfirmed(UUID("11111111-2222-4333-8444-555555555555"), 2, "/orders/11111111-2222-4333-8444-555555555555")
AT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    "message",
    [
        Message("order.events:1:7", "order.confirmed", AT, EVENT),
        Message(
            "order.events:1:7",
            "order.confirmed",
            AT,
            EVENT,
            "began",
            "cause",
            "00-" + "1" * 32 + "-" + "2" * 16 + "-01",
        ),
    ],
)
def test_headers_say_it_all(message: Message) -> None:
    assert read_message(message_headers(message, "public"), EVENT) == message


def test_the_subject_and_the_version_are_the_orders() -> None:
    headers = dict(message_headers(Message("a", "order.confirmed", AT, EVENT), "public"))
    assert headers["ce_subject"] == str(EVENT.order_id).encode()
    assert headers["version"] == b"2"
    assert headers["ce_source"] == b"orderlog/public"


def test_a_missing_header_is_named() -> None:
    with pytest.raises(ValueError, match="ce_id"):
        read_message([("ce_type", b"order.confirmed")], EVENT)
