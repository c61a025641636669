"""What holds after any sequence of commands."""

import pytest
from hypothesis import Phase, find, given, settings

from command_side.domain.commands import Command
from command_side.domain.decide import decide
from command_side.domain.order import Order, Status, evolve
from command_side.domain.rejections import Rejection
from schemas.events import OrderEvent
from tests.kit.sequences import commands, lives
from tests.kit.spec import fold


def run(sequence: list[Command]) -> tuple[Order | None, tuple[OrderEvent, ...]]:
    """The order after `sequence`, and its events."""
    order: Order | None = None
    events: tuple[OrderEvent, ...] = ()
    for command in sequence:
        before = order
        decision = decide(command, order)
        if isinstance(decision, Rejection):
            assert (decision.title, decision.detail) != ("", "")
            assert order is before
            continue
        assert decision, "an accepted command leaves an event"
        for event in decision:
            order = evolve(order, event)
        events += decision
    return order, events


@pytest.mark.parametrize("status", Status)
def test_the_sequences_reach_every_status(status: Status) -> None:
    def reaches(sequence: list[Command]) -> bool:
        order, _ = run(sequence)
        return order is not None and order.status is status

    assert find(lives(), reaches, settings=settings(max_examples=5_000, deadline=None, phases=[Phase.generate]))


@settings(max_examples=300, deadline=None)
@given(lives())
def test_version_counts_events_and_a_replay_gives_the_same_order(sequence: list[Command]) -> None:
    order, events = run(sequence)
    assert (order.version if order else 0) == len(events)
    assert fold(events) == order


@settings(max_examples=300, deadline=None)
@given(lives())
def test_amounts_stay_within_reason(sequence: list[Command]) -> None:
    order, _ = run(sequence)
    if order is None:
        return
    assert order.lines
    assert 0 <= order.refunded <= order.paid <= order.total
    assert all(0 <= order.returned.get(line.sku, 0) <= line.quantity for line in order.lines)
    if order.status in (Status.PAID, Status.SHIPPED, Status.DELIVERED, Status.RETURNED):
        assert order.outstanding == 0
    if order.status is Status.RETURNED:
        assert order.refunded == order.total


@settings(max_examples=100, deadline=None)
@given(lives(), commands)
def test_deciding_changes_nothing(sequence: list[Command], command: Command) -> None:
    order, events = run(sequence)
    assert decide(command, order) == decide(command, fold(events))
