"""What a file of orders has in it, whatever its format: orders, and what cannot be read as one. Pure."""

from dataclasses import dataclass
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True, slots=True)
class Order:
    """An order of a file, which begins on `line`; `body` is that of POST /orders in canonical JSON.

    `named` says whether it has an order id of its own.
    """

    line: int
    body: bytes
    named: bool


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What stands on `line` is no order, for this `reason`; `content` is as much of it as was understood."""

    line: int
    reason: str
    content: Any


Found = Order | Unreadable


def order(line: int, body: dict[str, Any]) -> Order:
    """The order of a body; the order of its fields and their spaces make no difference from here on."""
    return Order(line, _encoder.encode(body), body.get("order_id") is not None)
