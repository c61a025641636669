"""Random commands for one order, drawn so that many are accepted and every rejection is met."""

from functools import reduce
from uuid import UUID

from hypothesis import strategies as st

from command_side.domain.commands import (
    AddLine,
    CancelOrder,
    ChangeLineQuantity,
    ChangeShippingAddress,
    Command,
    ConfirmOrder,
    DeliverOrder,
    PlaceOrder,
    RecordPayment,
    RejectOrder,
    RemoveLine,
    ReturnLines,
    ShipOrder,
)
from command_side.domain.decide import decide
from command_side.domain.order import Order, Status, evolve
from command_side.domain.rejections import Rejection
from schemas.events import Address, Line, ReturnedLine

ORDER = UUID("6f1c1f0a-6a5e-4a55-9d5c-0d5f6f1f2a11")
_LINES = (Line("TEA", 2, 250), Line("CUP", 1, 0))
_ADDRESS = Address("Ada", "1 Elm Street", "Bath", "BA1", "GB")

# Few skus and small numbers, so that commands meet the lines and sums that others made.
skus = st.sampled_from(["TEA", "CUP", "POT", "no such thing!"])
quantities = st.integers(-1, 4)
prices = st.sampled_from([0, 1, 250, 10**10])
amounts = st.one_of(st.integers(-1, 2_000), st.sampled_from([250, 500, 750, 1_000]))
lines = st.builds(Line, skus, quantities, prices)
addresses = st.builds(Address, *[st.text("abc ", min_size=1, max_size=5)] * 4, st.sampled_from(["GB", "DE"]))
orders = st.just(ORDER)
reasons = st.sampled_from(["out of stock", "changed my mind"])

commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(
        PlaceOrder,
        orders,
        st.just("customer-1"),
        st.just("ada@example.com"),
        st.sampled_from(["EUR", "GBP", "XXX"]),
        st.lists(lines, max_size=3).map(tuple),
        addresses,
    ),
    st.builds(AddLine, orders, skus, quantities, prices),
    st.builds(ChangeLineQuantity, orders, skus, quantities),
    st.builds(RemoveLine, orders, skus),
    st.builds(ChangeShippingAddress, orders, addresses),
    st.builds(ConfirmOrder, orders),
    st.builds(RejectOrder, orders, reasons),
    st.builds(RecordPayment, orders, amounts, st.sampled_from(["pay-1", "pay-2", "pay-3"])),
    st.builds(ShipOrder, orders, st.just("DHL"), st.just("JD01")),
    st.builds(DeliverOrder, orders),
    st.builds(CancelOrder, orders, reasons),
    st.builds(ReturnLines, orders, st.lists(st.builds(ReturnedLine, skus, quantities), max_size=2).map(tuple), reasons),
)


@st.composite
def lives(draw: st.DrawFn) -> list[Command]:
    """A sequence that often takes the step its order is ready for: random commands alone seldom get past payment."""
    sequence: list[Command] = []
    order: Order | None = None
    for _ in range(draw(st.integers(0, 30))):
        command = _next_step(order) if draw(st.booleans()) else draw(commands)
        sequence.append(command)
        decision = decide(command, order)
        if not isinstance(decision, Rejection):
            order = reduce(evolve, decision, order)
    return sequence


def _next_step(order: Order | None) -> Command:
    if order is None:
        return PlaceOrder(ORDER, "customer-1", "ada@example.com", "EUR", _LINES, _ADDRESS)
    match order.status:
        case Status.CONFIRMED:
            return RecordPayment(ORDER, order.outstanding, f"pay-{order.version}")
        case Status.PAID:
            return ShipOrder(ORDER, "DHL", ("JD01",))
        case Status.SHIPPED:
            return DeliverOrder(ORDER)
        case Status.DELIVERED:
            line = next(line for line in order.lines if order.returnable(line.sku))
            return ReturnLines(ORDER, (ReturnedLine(line.sku, 1),), "broken")
        case _:
            return ConfirmOrder(ORDER)
