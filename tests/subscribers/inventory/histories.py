"""Histories of orders as their topics have them, and what the stock must come to whatever came first."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from schemas.public_events import OrderCancelled, OrderRejected, OrderReturned, OrderShipped, ReturnedLine
from subscribers.inventory.level import Level
from subscribers.inventory.stock import Order, State
from tests.kit.subscribers import placed, told_of

SKUS = ("TEA-1", "TEA-2", "CUP")
ORDERS = tuple(UUID(int=number + 1) for number in range(4))
_LINES = st.dictionaries(st.sampled_from(SKUS), st.integers(1, 5), min_size=1).map(lambda lines: list(lines.items()))


@st.composite
def histories(draw: st.DrawFn, order_id: UUID) -> list[Any]:
    """What may happen to an order, in the order in which it happens."""
    lines = draw(st.lists(_LINES, min_size=1, max_size=4))
    events = [placed(order_id, *of, version=at, changed=at > 1) for at, of in enumerate(lines, 1)]
    version = len(events)
    match draw(st.sampled_from(["open", "cancelled", "rejected", "shipped", "returned"])):
        case "cancelled":
            events.append(told_of(OrderCancelled, order_id, version + 1))
        case "rejected":
            events.append(told_of(OrderRejected, order_id, version + 1))
        case "shipped":
            events.append(shipped(order_id, version + 3))
        case "returned":
            left = dict(lines[-1])
            events.append(shipped(order_id, version + 3))
            for at in range(version + 5, version + 7):
                back = {sku: draw(st.integers(0, quantity)) for sku, quantity in left.items()}
                if some := {sku: quantity for sku, quantity in back.items() if quantity}:
                    events.append(returned(order_id, at, some))
                    left = {sku: quantity - back[sku] for sku, quantity in left.items()}
    return events


@st.composite
def deliveries(draw: st.DrawFn) -> list[Any]:
    """Several histories, delivered: those of one order in sequence within each topic, and in no sequence otherwise."""
    streams: dict[tuple[UUID, type], list[Any]] = {}
    for order_id in ORDERS:
        for event in draw(histories(order_id)):
            streams.setdefault((order_id, type(event)), []).append(event)
    turns = draw(st.permutations([name for name, events in streams.items() for _ in events]))
    waiting = {name: iter(events) for name, events in streams.items()}
    return [next(waiting[name]) for name in turns]


def shipped(order_id: UUID, version: int) -> Any:
    return told_of(OrderShipped, order_id, version, carrier="DHL", tracking="JD01")


def returned(order_id: UUID, version: int, lines: Mapping[str, int]) -> Any:
    back = tuple(ReturnedLine(sku, quantity) for sku, quantity in lines.items())
    return told_of(OrderReturned, order_id, version, lines=back)


def in_sequence(events: Iterable[Any]) -> list[Any]:
    """Deliveries as they had come if all topics were one."""
    return sorted(events, key=lambda event: (event.order_id, event.order_version))


def assert_adds_up(levels: Mapping[str, Level], orders: Iterable[Order], received: Mapping[str, int]) -> None:
    """Nothing is negative, nothing leaks, and levels are what the orders come to; people told of `received`."""
    reserved, gone, unstocked = Counter[str](), Counter[str](), Counter[str]()
    for order in orders:
        for sku, pieces in order.lines.items():
            reserved[sku] += pieces.wanted * (order.state is State.RESERVED)
            gone[sku] += max(pieces.wanted - pieces.returned, 0) * (order.state is State.SHIPPED)
            unstocked[sku] += pieces.unstocked
    for sku in levels.keys() | received.keys() | reserved.keys() | gone.keys():
        level = levels.get(sku, Level())
        assert min(level) >= 0, (sku, level)
        assert level.received == level.available + level.reserved + level.shipped, (sku, level)
        assert level.received == received.get(sku, 0) + level.unstocked, (sku, level)
        assert (level.reserved, level.shipped, level.unstocked) == (reserved[sku], gone[sku], unstocked[sku]), sku
