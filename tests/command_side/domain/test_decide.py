"""What an order takes and what it refuses, as stories."""

from dataclasses import replace
from typing import get_args
from uuid import UUID

import pytest
from msgspec import structs

from command_side.domain import limits
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
from command_side.domain.decide import ALLOWED
from command_side.domain.order import Status
from schemas.events import (
    Address,
    Contact,
    Destination,
    Line,
    LineAdded,
    LineQuantityChanged,
    LineRemoved,
    LinesReturned,
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderEvent,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    PaymentRecorded,
    PaymentRefunded,
    Reason,
    ReturnedLine,
    ShippingAddressChanged,
)
from tests.kit.spec import given

ORDER = UUID("6f1c1f0a-6a5e-4a55-9d5c-0d5f6f1f2a11")
HOME = Address("Ada Lovelace", "12 St James's Square", "London", "SW1Y 4JH", "GB")
LINES = (Line("TEA", 2, 250), Line("CUP", 1, 500))
WHY = "changed my mind"

PLACE = PlaceOrder(ORDER, "customer-1", "ada@example.com", "EUR", LINES, HOME)
PLACED = OrderPlaced(ORDER, "customer-1", "EUR", LINES, Contact("ada@example.com", HOME))
CONFIRMED: tuple[OrderEvent, ...] = (PLACED, OrderConfirmed(ORDER, 1_000))
PAID = (*CONFIRMED, PaymentRecorded(ORDER, 1_000, "pay-1"))
SHIPPED = (*PAID, OrderShipped(ORDER, "DHL", "JD01"))
DELIVERED = (*SHIPPED, OrderDelivered(ORDER))

IN_STATUS: dict[Status, tuple[OrderEvent, ...]] = {
    Status.OPEN: (PLACED,),
    Status.CONFIRMED: CONFIRMED,
    Status.REJECTED: (PLACED, OrderRejected(ORDER, None)),
    Status.PAID: PAID,
    Status.SHIPPED: SHIPPED,
    Status.DELIVERED: DELIVERED,
    Status.CANCELLED: (PLACED, OrderCancelled(ORDER, None)),
    Status.RETURNED: (*DELIVERED, LinesReturned(ORDER, (ReturnedLine("TEA", 2), ReturnedLine("CUP", 1)), None)),
}
COMMANDS: tuple[Command, ...] = (
    AddLine(ORDER, "POT", 1, 100),
    ChangeLineQuantity(ORDER, "TEA", 3),
    RemoveLine(ORDER, "TEA"),
    ChangeShippingAddress(ORDER, HOME),
    ConfirmOrder(ORDER),
    RejectOrder(ORDER, WHY),
    RecordPayment(ORDER, 1, "pay-9"),
    ShipOrder(ORDER, "DHL", "JD01"),
    DeliverOrder(ORDER),
    CancelOrder(ORDER, WHY),
    ReturnLines(ORDER, (ReturnedLine("TEA", 1),), WHY),
)


def test_an_order_is_placed_once() -> None:
    given().when(PLACE).then(PLACED)
    given(PLACED).when(PLACE).then_rejected("order-exists", str(ORDER))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_what_was_never_placed_takes_no_command(command: Command) -> None:
    given().when(command).then_rejected("order-not-found", str(ORDER))


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_the_state_machine(command: Command, status: Status) -> None:
    """Every command in every status: an event exactly where the table says so."""
    decided = given(*IN_STATUS[status]).when(command)
    if status in ALLOWED[type(command)]:
        assert isinstance(decided.decision, tuple)
        assert decided.decision
    else:
        expected = "-or-".join(str(allowed) for allowed in ALLOWED[type(command)])
        decided.then_rejected(f"order-not-{expected}", f"this one is {status}")


def test_the_table_knows_every_command() -> None:
    assert {*ALLOWED, PlaceOrder} == set(get_args(Command))
    assert {type(command) for command in COMMANDS} == set(ALLOWED)


def test_an_open_order_is_changed() -> None:
    elsewhere = structs.replace(HOME, street="1 Elm Street")
    opened = given(PLACED)
    opened.when(AddLine(ORDER, "POT", 1, 5_900)).then(LineAdded(ORDER, "POT", 1, 5_900))
    opened.when(ChangeLineQuantity(ORDER, "TEA", 5)).then(LineQuantityChanged(ORDER, "TEA", 5))
    opened.when(RemoveLine(ORDER, "CUP")).then(LineRemoved(ORDER, "CUP"))
    opened.when(ChangeShippingAddress(ORDER, elsewhere)).then(ShippingAddressChanged(ORDER, Destination(elsewhere)))


def test_a_line_is_one_sku() -> None:
    given(PLACED).when(AddLine(ORDER, "TEA", 1, 1)).then_rejected("line-exists", "TEA")
    given(PLACED).when(ChangeLineQuantity(ORDER, "POT", 1)).then_rejected("line-not-found", "POT")
    given(PLACED).when(RemoveLine(ORDER, "POT")).then_rejected("line-not-found", "POT")
    given().when(replace(PLACE, lines=(LINES[0], LINES[0]))).then_rejected("duplicate-sku", "TEA")


def test_the_last_line_stays() -> None:
    given(PLACED, LineRemoved(ORDER, "CUP")).when(RemoveLine(ORDER, "TEA")).then_rejected("last-line")


@pytest.mark.parametrize(
    ("lines", "type_"),
    [
        ((), "invalid-command"),
        ((Line("TEA", 0, 1),), "invalid-command"),
        ((Line("TEA", -1, 1),), "invalid-command"),
        ((Line("TEA", limits.MAX_QUANTITY + 1, 1),), "invalid-command"),
        ((Line("TEA", 1, -1),), "invalid-command"),
        ((Line("TEA", 1, limits.MAX_UNIT_PRICE + 1),), "invalid-command"),
        ((Line("white space", 1, 1),), "invalid-command"),
        (tuple(Line(f"SKU-{n}", 1, 1) for n in range(limits.MAX_LINES + 1)), "too-many-lines"),
    ],
)
def test_impossible_lines_are_refused(lines: tuple[Line, ...], type_: str) -> None:
    given().when(replace(PLACE, lines=lines)).then_rejected(type_)


def test_currency_is_one_that_exists() -> None:
    given().when(replace(PLACE, currency="XXX")).then_rejected("unknown-currency", "XXX")


def test_payments_add_up_to_the_total() -> None:
    half = PaymentRecorded(ORDER, 400, "pay-1")
    given(*CONFIRMED).when(RecordPayment(ORDER, 400, "pay-1")).then(half)
    given(*CONFIRMED, half).when(RecordPayment(ORDER, 600, "pay-2")).then(PaymentRecorded(ORDER, 600, "pay-2"))
    given(*CONFIRMED, half).when(ShipOrder(ORDER, "DHL", "1")).then_rejected("order-not-paid")
    given(*CONFIRMED, half).when(RecordPayment(ORDER, 601, "pay-2")).then_rejected("overpaid", "600")
    given(*CONFIRMED, half).when(RecordPayment(ORDER, 400, "pay-1")).then_rejected("payment-already-recorded")
    given(*CONFIRMED).when(RecordPayment(ORDER, 0, "pay-1")).then_rejected("invalid-command")


def test_an_order_that_costs_nothing_needs_no_payment() -> None:
    free = structs.replace(PLACED, lines=(Line("TEA", 1, 0),))
    given(free, OrderConfirmed(ORDER, 0)).when(ShipOrder(ORDER, "DHL", "1")).then(OrderShipped(ORDER, "DHL", "1"))


def test_a_cancelled_order_is_refunded_what_was_paid() -> None:
    given(PLACED).when(CancelOrder(ORDER, WHY)).then(OrderCancelled(ORDER, Reason(WHY)))
    given(*PAID).when(CancelOrder(ORDER, WHY)).then(OrderCancelled(ORDER, Reason(WHY)), PaymentRefunded(ORDER, 1_000))


def test_returned_pieces_are_refunded_at_their_price() -> None:
    back = (ReturnedLine("TEA", 1),)
    returned = LinesReturned(ORDER, back, Reason(WHY))
    given(*DELIVERED).when(ReturnLines(ORDER, back, WHY)).then(returned, PaymentRefunded(ORDER, 250))


def test_no_more_comes_back_than_was_bought() -> None:
    once = (*DELIVERED, LinesReturned(ORDER, (ReturnedLine("TEA", 1),), None), PaymentRefunded(ORDER, 250))
    given(*once).when(ReturnLines(ORDER, (ReturnedLine("TEA", 2),), WHY)).then_rejected("too-many-returned", "1 can")
    given(*DELIVERED).when(ReturnLines(ORDER, (ReturnedLine("POT", 1),), WHY)).then_rejected("line-not-found")
    given(*DELIVERED).when(ReturnLines(ORDER, (ReturnedLine("TEA", 0),), WHY)).then_rejected("invalid-command")
    given(*DELIVERED).when(ReturnLines(ORDER, (), WHY)).then_rejected("invalid-command")
    twice = (ReturnedLine("TEA", 1), ReturnedLine("TEA", 1))
    given(*DELIVERED).when(ReturnLines(ORDER, twice, WHY)).then_rejected("duplicate-sku")
