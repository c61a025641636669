"""Given what happened, when a command comes, then these events, or that rejection.

given(PLACED).when(ConfirmOrder(ORDER)).then(OrderConfirmed(ORDER, total=1_000))
given(PLACED).when(DeliverOrder(ORDER)).then_rejected("order-not-shipped")
"""

from dataclasses import dataclass
from functools import reduce

from command_side.domain.commands import Command
from command_side.domain.decide import Decision, decide
from command_side.domain.order import Order, evolve
from command_side.domain.rejections import Rejection
from schemas.events import OrderEvent, UnknownEvent


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of the command."""

    order: Order | None
    decision: Decision

    def then(self, *events: OrderEvent) -> None:
        """It caused exactly these events."""
        assert self.decision == events

    def then_rejected(self, type_: str, saying: str = "") -> None:
        """It was refused with this type, and a detail that contains `saying`; the rejection tells the order's state."""
        assert isinstance(self.decision, Rejection), self.decision
        assert self.decision.type == type_, self.decision
        assert saying in self.decision.detail
        told = (self.decision.status, self.decision.version)
        if self.order is None:
            assert told == (None, 0)
        else:  # a status is only told where it can be relied on
            status = None if self.order.unknown else str(self.order.status)
            assert told in {(status, self.order.version), (None, 0)}


@dataclass(frozen=True, slots=True)
class History:
    """The events of one order so far."""

    events: tuple[OrderEvent | UnknownEvent, ...]

    def when(self, command: Command) -> Decided:
        """Decide `command` on the order that these events make."""
        order = fold(self.events)
        return Decided(order, decide(command, order))


def given(*events: OrderEvent | UnknownEvent) -> History:
    """An order with this history; without events, no order."""
    return History(events)


def fold(events: tuple[OrderEvent | UnknownEvent, ...]) -> Order | None:
    """The order after `events`."""
    return reduce(evolve, events, None)
