"""The stock without a database: what each event does, and that it adds up whatever comes first."""

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.public_events import (
    InventoryRejected,
    InventoryReserved,
    OrderCancelled,
    OrderConfirmed,
    OrderRejected,
    Shortage,
)
from subscribers.inventory.level import Level
from subscribers.inventory.stock import State, Stock
from tests.kit.subscribers import placed, told_of
from tests.subscribers.inventory.histories import (
    SKUS,
    assert_adds_up,
    deliveries,
    in_sequence,
    returned,
    shipped,
)

ORDER = uuid4()


def stock(**received: int) -> Stock:
    return Stock({sku: Level().receive(pieces) for sku, pieces in received.items()}, {})


def changed(*lines: tuple[str, int], version: int) -> Any:
    return placed(ORDER, *lines, version=version, changed=True)


def ended(kind: type, version: int) -> Any:
    return told_of(kind, ORDER, version)


def test_an_order_is_reserved() -> None:
    held = stock(TEA=5, CUP=2)
    assert held.take(placed(ORDER, ("TEA", 3), ("CUP", 2))) == InventoryReserved(ORDER, 1)
    assert held.levels == {"TEA": Level(5, 2, 3), "CUP": Level(2, 0, 2)}


def test_all_lines_or_none() -> None:
    held = stock(TEA=5, CUP=1)
    answer = held.take(placed(ORDER, ("TEA", 3), ("CUP", 2), ("MUG", 1)))
    assert answer == InventoryRejected(ORDER, 1, (Shortage("CUP", 2, 1), Shortage("MUG", 1, 0)))
    assert held.levels == {"TEA": Level(5, 5), "CUP": Level(1, 1)}


def test_lines_of_one_sku_add_up() -> None:
    held = stock(TEA=5)
    assert held.take(placed(ORDER, ("TEA", 3), ("TEA", 3))) == InventoryRejected(ORDER, 1, (Shortage("TEA", 6, 5),))
    assert held.take(changed(("TEA", 3), ("TEA", 2), version=2)) == InventoryReserved(ORDER, 2)
    assert held.levels == {"TEA": Level(5, 0, 5)}


def test_a_change_takes_from_what_the_order_had() -> None:
    held = stock(TEA=5, CUP=1)
    held.take(placed(ORDER, ("TEA", 5)))
    assert held.take(changed(("TEA", 4), ("CUP", 1), version=2)) == InventoryReserved(ORDER, 2)
    assert held.levels == {"TEA": Level(5, 1, 4), "CUP": Level(1, 0, 1)}


def test_a_change_that_is_short_keeps_nothing() -> None:
    held = stock(TEA=5)
    held.take(placed(ORDER, ("TEA", 5)))
    assert held.take(changed(("TEA", 6), version=2)) == InventoryRejected(ORDER, 2, (Shortage("TEA", 6, 5),))
    assert held.levels == {"TEA": Level(5, 5)}
    assert held.take(changed(("TEA", 2), version=3)) == InventoryReserved(ORDER, 3)


def test_an_older_version_says_nothing_new() -> None:
    held = stock(TEA=5)
    assert held.take(changed(("TEA", 2), version=3)) == InventoryReserved(ORDER, 3)
    assert held.take(placed(ORDER, ("TEA", 4))) is None
    assert held.take(changed(("TEA", 4), version=3)) is None
    assert held.levels == {"TEA": Level(5, 3, 2)}


@pytest.mark.parametrize("kind", [OrderCancelled, OrderRejected])
def test_what_ended_is_free_again_also_beforehand(kind: type) -> None:
    held = stock(TEA=5)
    held.take(placed(ORDER, ("TEA", 4)))
    assert held.take(ended(kind, 2)) is None
    assert held.levels == {"TEA": Level(5, 5)}
    before = stock(TEA=5)
    assert before.take(ended(kind, 3)) is None
    assert before.take(changed(("TEA", 4), version=2)) is None
    assert before.take(placed(ORDER, ("TEA", 4))) is None
    assert before.levels == {"TEA": Level(5, 5)}
    assert before.orders[ORDER].state is State.ENDED


def test_shipping_takes_what_was_reserved() -> None:
    held = stock(TEA=5)
    held.take(placed(ORDER, ("TEA", 4)))
    assert held.take(shipped(ORDER, 4)) is None
    assert held.levels == {"TEA": Level(5, 1, 0, 4)}


def test_shipping_what_the_stock_had_rejected_is_seen() -> None:
    held = stock(TEA=3)
    held.take(placed(ORDER, ("TEA", 4), ("MUG", 1)))
    held.take(shipped(ORDER, 4))
    assert held.levels == {"TEA": Level(4, 0, 0, 4, unstocked=1), "MUG": Level(1, 0, 0, 1, unstocked=1)}


def test_shipping_does_not_touch_what_others_reserved() -> None:
    held = stock(TEA=3)
    held.take(placed(uuid4(), ("TEA", 2)))
    held.take(placed(ORDER, ("TEA", 2)))
    held.take(shipped(ORDER, 4))
    assert held.levels == {"TEA": Level(4, 0, 2, 2, unstocked=1)}


def test_lines_that_come_after_shipping_are_shipped() -> None:
    held = stock(TEA=5)
    held.take(shipped(ORDER, 5))
    assert held.take(placed(ORDER, ("TEA", 4))) is None
    assert held.levels["TEA"] == Level(5, 1, 0, 4)
    assert held.take(changed(("TEA", 1), ("CUP", 1), version=2)) is None
    assert held.levels == {"TEA": Level(5, 4, 0, 1), "CUP": Level(1, 0, 0, 1, unstocked=1)}


def test_pieces_that_were_never_there_do_not_stay() -> None:
    held = stock()
    held.take(placed(ORDER, ("TEA", 4)))
    held.take(shipped(ORDER, 5))
    assert held.levels["TEA"] == Level(4, 0, 0, 4, unstocked=4)
    held.take(changed(("TEA", 1), version=2))
    assert held.levels["TEA"] == Level(1, 0, 0, 1, unstocked=1)


def test_returned_pieces_are_available() -> None:
    held = stock(TEA=5)
    held.take(placed(ORDER, ("TEA", 4)))
    held.take(shipped(ORDER, 4))
    held.take(returned(ORDER, 6, {"TEA": 1}))
    held.take(returned(ORDER, 7, {"TEA": 2}))
    assert held.levels == {"TEA": Level(5, 4, 0, 1)}


def test_a_return_before_all_else() -> None:
    held = stock(TEA=5)
    held.take(returned(ORDER, 6, {"TEA": 1}))
    assert held.levels == {"TEA": Level(5, 5)}
    held.take(placed(ORDER, ("TEA", 4)))
    held.take(shipped(ORDER, 4))
    assert held.levels == {"TEA": Level(5, 2, 0, 3)}


def test_no_more_comes_back_than_left() -> None:
    held = stock(TEA=5)
    held.take(placed(ORDER, ("TEA", 2)))
    held.take(shipped(ORDER, 4))
    held.take(returned(ORDER, 6, {"TEA": 9, "CUP": 1}))
    assert held.levels["TEA"] == Level(5, 5)


@pytest.mark.parametrize("quantity", [0, -1])
def test_a_quantity_that_is_none_is_refused(quantity: int) -> None:
    with pytest.raises(ValueError, match="pieces of TEA"):
        stock(TEA=5).take(placed(ORDER, ("TEA", quantity)))
    with pytest.raises(ValueError, match="pieces of TEA"):
        stock(TEA=5).take(returned(ORDER, 6, {"TEA": quantity}))


def test_an_event_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="no use for OrderConfirmed"):
        stock().take(told_of(OrderConfirmed, ORDER, 2))


@settings(max_examples=300, deadline=None)
@given(deliveries(), st.dictionaries(st.sampled_from(SKUS), st.integers(0, 12)))
def test_it_adds_up_after_every_event(events: list[Any], received: dict[str, int]) -> None:
    held = stock(**received)
    for event in events:
        before = dict(held.levels)
        answer = held.take(event)
        assert_adds_up(held.levels, held.orders.values(), received)
        if isinstance(answer, InventoryRejected):
            assert answer.short
            assert all(one.available < one.wanted for one in answer.short)
            assert held.orders[event.order_id].state is State.REJECTED
        if isinstance(answer, InventoryReserved):
            assert held.orders[event.order_id].state is State.RESERVED
            taken = {line.sku for line in event.lines}
            assert all(held.levels[sku].shipped == before[sku].shipped for sku in taken)


@settings(max_examples=300, deadline=None)
@given(deliveries())
def test_the_sequence_of_the_topics_makes_no_difference(events: list[Any]) -> None:
    plenty = dict.fromkeys(SKUS, 1_000)
    as_delivered, as_happened = stock(**plenty), stock(**plenty)
    for event in events:
        as_delivered.take(event)
    for event in in_sequence(events):
        as_happened.take(event)
    assert as_delivered.levels == as_happened.levels
    assert {order_id: order.state for order_id, order in as_delivered.orders.items()} == {
        order_id: order.state for order_id, order in as_happened.orders.items()
    }


@settings(max_examples=300, deadline=None)
@given(deliveries())
def test_the_last_version_is_answered_once_while_the_order_is_open(events: list[Any]) -> None:
    held = stock(**dict.fromkeys(SKUS, 20))
    answers = [answer for event in events if (answer := held.take(event))]
    assert len({(answer.order_id, answer.order_version) for answer in answers}) == len(answers)
    for order_id, order in held.orders.items():
        if order.state in (State.RESERVED, State.REJECTED):
            mine = [answer for answer in answers if answer.order_id == order_id]
            assert mine[-1].order_version == order.version == max(answer.order_version for answer in mine)
            assert isinstance(mine[-1], InventoryReserved) == (order.state is State.RESERVED)
