"""What follows from each event for an order's process; pure."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from eventlog.messages import Message
from schemas import public_events as told
from subscribers.order_process.commands import judged
from subscribers.order_process.process import TIMED_OUT, Steps, out_of_stock, steps
from subscribers.outbox import Dead, Done, Later, Unavailable
from tests.kit.subscribers import placed, told_of

ORDER = uuid4()
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def message(event: Any) -> Message:
    return Message("e1", "any", NOW, event, traceparent="00-trace")


def test_a_placed_order_is_rejected_when_its_time_is_up() -> None:
    (task,), settled = steps(message(placed(ORDER)), 300)
    assert (task.id, task.due_at, settled) == (f"timeout:{ORDER}", NOW + timedelta(seconds=300), ())
    assert (task.what["path"], task.what["reason"]) == (f"/orders/{ORDER}/reject", TIMED_OUT)
    assert task.what["version"] is None  # whatever has become of it meanwhile


def test_an_order_whose_stock_is_reserved_is_confirmed_at_the_version_that_was_answered_for() -> None:
    (task,), _ = steps(message(told.InventoryReserved(ORDER, 3)), 300)
    assert (task.id, task.event_id, task.due_at) == ("e1", "e1", None)
    assert task.what == {
        "path": f"/orders/{ORDER}/confirm",
        "version": 3,
        "reason": None,
        "traceparent": "00-trace",
    }


def test_an_order_whose_stock_is_short_is_rejected_and_its_customer_told_why() -> None:
    short = (told.Shortage("TEA-1", 5, 2), told.Shortage("TEA-2", 1, 0))
    (task,), _ = steps(message(told.InventoryRejected(ORDER, 2, short)), 300)
    assert (task.what["path"], task.what["version"]) == (f"/orders/{ORDER}/reject", 2)
    assert task.what["reason"] == "out of stock: TEA-1 (5 wanted, 2 there), TEA-2 (1 wanted, 0 there)"
    assert len(out_of_stock(short * 40)) == 500


@pytest.mark.parametrize("kind", [told.OrderConfirmed, told.OrderRejected, told.OrderCancelled])
def test_an_order_that_was_decided_about_has_no_timeout(kind: Any) -> None:
    assert steps(message(told_of(kind, ORDER, 2)), 300) == Steps(settled=(f"timeout:{ORDER}",))


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Done),
        (409, Done),
        (412, Done),
        (503, Unavailable),
        (429, Unavailable),
        (500, Later),
        (404, Dead),
        (422, Dead),
    ],
)
def test_what_an_answer_of_the_command_api_means(status: int, outcome: type) -> None:
    outcome_of = judged(status, {"detail": "so it is"})
    assert type(outcome_of) is outcome
    assert status == 200 or "so it is" in outcome_of.reason
    assert type(judged(status, {})) is outcome  # a proxy's page
