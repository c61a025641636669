"""What each event of an order does to the stock. Pure: levels and orders in, levels, orders and answers out.

Each topic has an order's events in sequence, but one topic may be far ahead of another: a cancellation may come before
the order itself. So what is kept of an order grows in one direction only, whatever comes first: its lines are those of
the highest version seen, shipped outweighs ended, ended outweighs all that may still be reserved, and returned pieces
are added up.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from msgspec import Struct

from schemas.public_events import (
    InventoryRejected,
    InventoryReserved,
    Line,
    OrderCancelled,
    OrderChanged,
    OrderPlaced,
    OrderRejected,
    OrderReturned,
    OrderShipped,
    PublicEvent,
    ReturnedLine,
    Shortage,
)
from subscribers.inventory.level import Level

Answer = InventoryReserved | InventoryRejected | None


class State(StrEnum):
    """What has become of an order: its lines are reserved, were short, need not be reserved any more, or have left."""

    RESERVED = "reserved"
    REJECTED = "rejected"
    ENDED = "ended"
    SHIPPED = "shipped"


class Pieces(Struct, frozen=True, omit_defaults=True):
    """An order's pieces of one sku: `returned` of those `wanted` came back, `unstocked` were shipped from no stock."""

    wanted: int = 0
    returned: int = 0
    unstocked: int = 0


class Order(NamedTuple):
    """An order as the stock knows it; `lines` are those of its `version`, 0 when only later news of it came so far."""

    version: int
    state: State
    lines: Mapping[str, Pieces]

    @property
    def wanted(self) -> dict[str, int]:
        """{sku: pieces} of its lines."""
        return {sku: pieces.wanted for sku, pieces in self.lines.items() if pieces.wanted}

    @property
    def returned(self) -> dict[str, int]:
        """{sku: pieces} that came back."""
        return {sku: pieces.returned for sku, pieces in self.lines.items() if pieces.returned}


_UNKNOWN = Order(0, State.REJECTED, {})


class Stock:
    """Levels by sku and orders by id: all that the events to come are about, as far as there are any."""

    def __init__(self, levels: Mapping[str, Level], orders: Mapping[UUID, Order]) -> None:
        self.levels = dict(levels)
        self.orders = dict(orders)

    def take(self, event: PublicEvent) -> Answer:
        """Do what `event` asks for; what to answer. Raises ValueError for an event that nothing can be done about."""
        match event:
            case OrderPlaced() | OrderChanged():
                return self._reserve(event)
            case OrderCancelled() | OrderRejected():
                self._end(event.order_id)
            case OrderShipped():
                self._ship(event.order_id)
            case OrderReturned():
                self._take_back(event)
            case _:
                raise ValueError(f"the inventory has no use for {type(event).__name__}")
        return None

    def _reserve(self, event: OrderPlaced | OrderChanged) -> Answer:
        order = self.orders.get(event.order_id, _UNKNOWN)
        if event.order_version <= order.version:
            return None
        wanted = _added_up(event.lines)
        if order.state is State.SHIPPED:  # without these lines, or with older ones
            self._correct(event.order_id, order, event.order_version, wanted, order.returned)
            return None
        if order.state is State.ENDED:
            self._put(event.order_id, event.order_version, State.ENDED, wanted)
            return None
        self._release(order)
        short = tuple(
            Shortage(sku, pieces, available)
            for sku, pieces in wanted.items()
            if (available := self._level(sku).available) < pieces
        )
        if short:
            self._put(event.order_id, event.order_version, State.REJECTED, wanted)
            return InventoryRejected(event.order_id, event.order_version, short)
        for sku, pieces in wanted.items():
            self.levels[sku] = self._level(sku).reserve(pieces)
        self._put(event.order_id, event.order_version, State.RESERVED, wanted)
        return InventoryReserved(event.order_id, event.order_version)

    def _end(self, order_id: UUID) -> None:
        order = self.orders.get(order_id, _UNKNOWN)
        if order.state is not State.SHIPPED:
            self._release(order)
            self.orders[order_id] = order._replace(state=State.ENDED)

    def _ship(self, order_id: UUID) -> Order:
        order = self.orders.get(order_id, _UNKNOWN)
        if order.state is State.SHIPPED:
            return order
        self._release(order)
        return self._correct(order_id, Order(0, State.SHIPPED, {}), order.version, order.wanted, {})

    def _take_back(self, event: OrderReturned) -> None:
        order = self._ship(event.order_id)  # only what was shipped can come back, whether we have heard of it or not
        returned = Counter(order.returned) + Counter(_added_up(event.lines))
        self._correct(event.order_id, order, order.version, order.wanted, returned)

    def _correct(
        self, order_id: UUID, order: Order, version: int, wanted: Mapping[str, int], returned: Mapping[str, int]
    ) -> Order:
        """Have a shipped order be one of these lines, of which so many came back."""
        lines: dict[str, Pieces] = {}
        for sku in dict.fromkeys([*order.lines, *wanted, *returned]):
            level, before = self._level(sku), order.lines.get(sku, Pieces())
            level, lines[sku] = corrected(level, before, wanted.get(sku, 0), returned.get(sku, 0))
            if level != self._level(sku):
                self.levels[sku] = level
        self.orders[order_id] = Order(version, State.SHIPPED, lines)
        return self.orders[order_id]

    def _release(self, order: Order) -> None:
        if order.state is State.RESERVED:
            for sku, pieces in order.wanted.items():
                self.levels[sku] = self._level(sku).reserve(-pieces)

    def _put(self, order_id: UUID, version: int, state: State, wanted: Mapping[str, int]) -> None:
        self.orders[order_id] = Order(version, state, {sku: Pieces(pieces) for sku, pieces in wanted.items()})

    def _level(self, sku: str) -> Level:
        return self.levels.get(sku, Level())


def corrected(level: Level, before: Pieces, wanted: int, returned: int) -> tuple[Level, Pieces]:
    """The level, and a shipped order's pieces, once these are so many, of which so many came back."""
    more = wanted - before.wanted
    back = min(returned, wanted) - min(before.returned, before.wanted)
    after = level.ship(max(more, 0) + max(-back, 0))
    unstocked = before.unstocked + after.unstocked - level.unstocked
    never_there = min(max(-more, 0), unstocked)
    after = after.unship(max(-more, 0), never_there).unship(max(back, 0))
    return after, Pieces(wanted, returned, unstocked - never_there)


def _added_up(lines: Iterable[Line | ReturnedLine]) -> dict[str, int]:
    pieces: dict[str, int] = {}
    for line in lines:
        if line.quantity < 1:
            raise ValueError(f"{line.quantity} pieces of {line.sku} can be neither ordered nor returned")
        pieces[line.sku] = pieces.get(line.sku, 0) + line.quantity
    return pieces
