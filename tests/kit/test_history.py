"""The checker finds what was planted, and nothing where nothing is wrong."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from msgspec import structs

from eventlog.positions import Position
from eventlog.recorded import Metadata, RecordedEvent
from schemas.events import Line, OrderCancelled, OrderConfirmed, OrderEvent, OrderPlaced, PaymentRecorded, WriterElected
from tests.kit.history import Acknowledged, violations

ORDER = UUID("6f1c1f0a-6a5e-4a55-9d5c-0d5f6f1f2a11")
NOW = datetime.now(UTC)
Log = list[RecordedEvent]


def event(offset: int, version: int, of: OrderEvent | WriterElected, key: str = "", term: int = 1) -> RecordedEvent:
    subject = str(ORDER) if version else "partition/0"
    about = Metadata(f"{version}", NOW, subject, version, term, key or f"key-{version}", "", "")
    return RecordedEvent(Position(0, offset), NOW, about, of)


def log() -> Log:
    placed = OrderPlaced(ORDER, "customer-1", "EUR", (Line("TEA", 1, 100),), None)
    return [
        event(0, 0, WriterElected("w", 1, 1, 1, "")),
        event(1, 1, placed),
        event(2, 2, OrderConfirmed(ORDER, 100)),
        event(3, 3, PaymentRecorded(ORDER, 100, "pay-1")),
    ]


TOLD = [Acknowledged(f"key-{n}", str(ORDER), n, f"0:{n}", sent=n, answered=n + 0.5) for n in (1, 2, 3)]


def lost(found: Log) -> Log:
    return found[:-1]


def doubled(found: Log) -> Log:
    return [*found, event(4, 4, PaymentRecorded(ORDER, 100, "pay-1"), key="key-1")]


def reordered(found: Log) -> Log:
    first, second = found[2], found[3]
    return [
        *found[:2],
        structs.replace(second, position=first.position),
        structs.replace(first, position=second.position),
    ]


def contradicted(found: Log) -> Log:
    cancelled = event(4, 4, OrderCancelled(ORDER, None))
    return [*found, cancelled, event(5, 5, OrderConfirmed(ORDER, 100))]


def late(found: Log) -> Log:
    """The last event moved behind the barrier of a later term: a reader drops it."""
    barrier = event(3, 0, WriterElected("v", 2, 1, 2, ""), term=2)
    return [*found[:3], barrier, structs.replace(found[3], position=Position(0, 4))]


def test_nothing_is_wrong_with_what_is_right() -> None:
    assert violations(log(), TOLD) == []


@pytest.mark.parametrize(
    ("plant", "says"),
    [
        (lost, "command key-3 .* was acknowledged and is not in the log"),
        (late, "command key-3 .* was acknowledged and is not in the log"),
        (doubled, r"command key-1 .* was applied twice, as versions \[1, 4\]"),
        (reordered, "goes from version 1 to 3 at 0:2"),
        (contradicted, "has OrderConfirmed while cancelled at 0:5"),
    ],
)
def test_what_was_planted_is_found(plant: Callable[[Log], Log], says: str) -> None:
    found = "\n".join(violations(plant(log()), TOLD))
    assert re.search(says, found), found


def test_an_answer_that_contradicts_time_is_found() -> None:
    late = [TOLD[1], replace(TOLD[0], sent=7.0, answered=8.0), TOLD[2]]
    assert violations(log(), late) == [f"order {ORDER} got version 1 for a command sent after 3 was answered"]
