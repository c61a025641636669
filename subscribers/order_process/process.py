"""What each event means for an order's process: which command is owed, and which is owed no longer. Pure.

An order whose stock is answered for is confirmed or rejected, at the version that was answered for: if its lines have
changed since, the command side refuses, and inventory's answer for those is on its way. An order that nobody answers
for is rejected when its time is up. The process keeps no state of its own: the command side knows whether an order is
still open, so a command that came too late changes nothing.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from eventlog.messages import Message
from schemas.public_events import (
    InventoryRejected,
    InventoryReserved,
    OrderCancelled,
    OrderConfirmed,
    OrderPlaced,
    OrderRejected,
    Shortage,
)
from subscribers.outbox import Task

_MOST_REASON = 500  # characters; the command API takes no more
TIMED_OUT = "nobody could say in time whether it is in stock"


class Steps(NamedTuple):
    """What an event changes: tasks that are owed from now on, and ids of tasks that are owed no longer."""

    owed: tuple[Task, ...] = ()
    settled: tuple[str, ...] = ()


def steps(message: Message, timeout_s: float) -> Steps:
    """What follows from `message`; an order that is placed has `timeout_s` seconds from then on."""
    event = message.event
    match event:
        case OrderPlaced():
            due_at = message.time + timedelta(seconds=timeout_s)
            command = _command("reject", event.order_id, message, reason=TIMED_OUT)
            return Steps((Task(_timeout(event.order_id), message.event_id, event.order_id, command, due_at),))
        case InventoryReserved():
            return Steps((_answered(message, _command("confirm", event.order_id, message, event.order_version)),))
        case InventoryRejected():
            reason = out_of_stock(event.short)
            command = _command("reject", event.order_id, message, event.order_version, reason)
            return Steps((_answered(message, command),))
        case OrderConfirmed() | OrderRejected() | OrderCancelled():
            return Steps(settled=(_timeout(event.order_id),))
        case _:
            return Steps()


def out_of_stock(short: tuple[Shortage, ...]) -> str:
    """Why an order is rejected, for its customer."""
    text = "out of stock: " + ", ".join(_sentences(short))
    return text if len(text) <= _MOST_REASON else text[: _MOST_REASON - 1] + "…"


def _sentences(short: tuple[Shortage, ...]) -> Iterator[str]:
    for one in short:
        yield f"{one.sku} ({one.wanted} wanted, {one.available} there)"


def _answered(message: Message, command: dict[str, Any]) -> Task:
    """The command under the event's own id, which is its Idempotency-Key too: it takes effect once."""
    return Task(message.event_id, message.event_id, message.event.order_id, command)


def _timeout(order_id: UUID) -> str:
    return f"timeout:{order_id}"


def _command(
    kind: str, order_id: UUID, message: Message, version: int | None = None, reason: str | None = None
) -> dict[str, Any]:
    return {
        "path": f"/orders/{order_id}/{kind}",
        "version": version,
        "reason": reason,
        "traceparent": message.traceparent,
    }
