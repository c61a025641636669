"""The headers as documented are those that are written."""

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import uuid4

from eventlog.messages import Message, message_headers
from eventlog.recorded import Header as Written
from eventlog.recorded import Metadata, to_headers
from projections.parking_notices import notice_headers
from projections.parking_records import ParkedEvent
from schemas.events import OrderDelivered
from schemas.headers import DEAD_LETTERS, LOG, PUBLIC, Header
from schemas.public_events import InventoryReserved
from subscribers.dead_letters import notice
from subscribers.deliveries import Delivery
from subscribers.email.subscription import EMAIL
from subscribers.parking import SetAside

NOW = datetime.now(UTC)


def names(written: Iterable[Written]) -> set[str]:
    return {name for name, _ in written}


def documented(headers: Iterable[Header], *, required: bool = False) -> set[str]:
    return {header.name for header in headers if header.required or not required}


def test_of_the_log() -> None:
    event = OrderDelivered(uuid4())
    assert names(to_headers(event, Metadata("e", NOW, "s", 1, 1, "c", "c", "c", "f", "t"))) == documented(LOG)
    bare = names(to_headers(event, Metadata("e", NOW, "s", 1, 1, "c", "", "")))
    assert bare == documented(LOG, required=True)


def test_of_public_events() -> None:
    event = InventoryReserved(uuid4(), 1)
    full = Message("e", "inventory.reserved", NOW, event, "c", "c", "t")
    assert names(message_headers(full, "inventory")) == documented(PUBLIC)
    bare = Message("e", "inventory.reserved", NOW, event)
    assert names(message_headers(bare, "inventory")) == documented(PUBLIC, required=True)


def test_of_dead_letters_of_projections() -> None:
    order = uuid4()
    parked = ParkedEvent(
        projection="orders",
        generation=1,
        partition=0,
        offset=7,
        order_id=order,
        timestamp=0,
        key=None,
        value=b"",
        headers=[],
        state="failed",
        reason="no",
        traceback=None,
        attempts=1,
        parked_at=NOW,
        tried_at=None,
        resolved_at=None,
        announced_at=None,
    )
    assert names(notice_headers(parked)) == documented(DEAD_LETTERS)


def test_of_dead_letters_of_subscribers() -> None:
    """They follow the record's own headers, and a subscriber has no generations."""
    delivery = Delivery("order.placed", 2, 7, 0, b"k", b"", (("ce_id", b"e"),))
    own, *added = notice(EMAIL, SetAside(delivery, "no", ValueError("no"), 1)).headers
    assert own == ("ce_id", b"e")
    assert names(added) == documented(DEAD_LETTERS) - {"parked_generation"}
    assert names(added) >= documented(DEAD_LETTERS, required=True)
    assert dict(added)["parked_position"] == b"order.placed:2:7"
