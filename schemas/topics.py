"""The topics as data: what there is, whose it is, what it carries and why it is kept as it is.

This is the one place: the code that makes topics, `orderlog topics`, the schemas' subjects, the AsyncAPI document and
docs/reference/topics.md are all made from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from schemas.codec import EVENT_NAMES


class Pattern(StrEnum):
    """What a topic is to those who read it."""

    SYSTEM_OF_RECORD = "system of record"
    STATE_TRANSFER = "event-carried state transfer"
    NOTIFICATION = "event notification"
    DEAD_LETTERS = "dead letters"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `partitions` is None where the settings decide; `schemas` are names of schemas/avro.

    `readers` are the services of orderlog that read it.
    """

    name: str
    owner: str
    pattern: Pattern
    key: str
    schemas: tuple[str, ...]
    partitions: int | None
    config: Mapping[str, str] = field(hash=False)
    reason: str
    readers: tuple[str, ...] = ()


_DAY_MS = 86_400_000
_DAYS_30 = {"cleanup.policy": "delete", "retention.ms": str(30 * _DAY_MS)}
_PUBLIC = "projections/public"
_PUBLIC_PARTITIONS = 6


def _public(
    name: str,
    schema: str,
    reason: str,
    readers: tuple[str, ...] = (),
    owner: str = _PUBLIC,
    pattern: Pattern = Pattern.NOTIFICATION,
) -> Topic:
    return Topic(
        name=name,
        owner=owner,
        pattern=pattern,
        key="order id",
        schemas=(f"public.{schema}",),
        partitions=_PUBLIC_PARTITIONS,
        config=_DAYS_30,
        reason=reason,
        readers=readers,
    )


def _dead_letters(name: str, owner: str, of: str) -> Topic:
    return Topic(
        name=name,
        owner=owner,
        pattern=Pattern.DEAD_LETTERS,
        key="order id; the record's own when it names no order",
        schemas=(),
        partitions=1,
        config=_DAYS_30,
        reason=f"Notices for people and tools: records of {of} as they are, which {owner} could not handle, "
        "and why in the headers parked_…. What is parked stands in Postgres; `orderlog dlq` works on that.",
    )


def dead_letters_of(subscriber: str) -> Topic:
    """The dead letter topic of a subscriber; one line in the catalogue for each."""
    return _dead_letters(f"{subscriber}.dlq", f"subscribers/{subscriber}", "its topics")


ORDER_EVENTS = Topic(
    name="order.events",
    owner="command_side",
    pattern=Pattern.SYSTEM_OF_RECORD,
    key="order id; none for a barrier",
    schemas=EVENT_NAMES,
    partitions=None,
    config={
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "message.timestamp.type": "CreateTime",
        "compression.type": "producer",
    },
    reason="The system of record: kept for ever, never compacted, its partition count fixed for life.",
    readers=("command_side", "projections/orders", "projections/sales", _PUBLIC),
)

ORDER_EVENTS_DLQ = _dead_letters("order.events.dlq", "projections", "order.events")

WRITER_PROBE = Topic(
    name="writer.probe",
    owner="command_side",
    pattern=Pattern.INTERNAL,
    key="none",
    schemas=(),
    partitions=1,
    config={"cleanup.policy": "delete", "retention.ms": str(_DAY_MS)},
    reason="Where a command API tries, before it serves, whether the broker refuses a writer that was succeeded.",
    readers=("command_side",),
)

WRITER_OWNERS = Topic(
    name="writer.owners",
    owner="command_side",
    pattern=Pattern.INTERNAL,
    key="partition number",
    schemas=("WriterElected",),
    partitions=1,
    config={
        "cleanup.policy": "compact",
        "segment.ms": "3600000",
        "min.cleanable.dirty.ratio": "0.1",
        "max.compaction.lag.ms": str(_DAY_MS),
    },
    reason="Who writes which partition of order.events and at which address: the last barrier of each.",
    readers=("command_side",),
)

_INVENTORY, _PROCESS, _EMAIL = "subscribers/inventory", "subscribers/order_process", "subscribers/email"

ORDER_PLACED = _public(
    "order.placed",
    "OrderPlaced",
    "A customer placed an order. The whole order, so that nobody has to ask for it.",
    (_INVENTORY, _PROCESS, _EMAIL),
    pattern=Pattern.STATE_TRANSFER,
)
ORDER_CHANGED = _public(
    "order.changed",
    "OrderChanged",
    "An open order has other lines or another address. The whole order as it is now, so that what was reserved for it "
    "can follow.",
    (_INVENTORY, _PROCESS, _EMAIL),
    pattern=Pattern.STATE_TRANSFER,
)
ORDER_CONFIRMED = _public(
    "order.confirmed", "OrderConfirmed", "The order is binding, its lines are fixed.", (_PROCESS, _EMAIL)
)
ORDER_REJECTED = _public(
    "order.rejected", "OrderRejected", "The shop will not deliver the order.", (_INVENTORY, _PROCESS, _EMAIL)
)
ORDER_CANCELLED = _public(
    "order.cancelled", "OrderCancelled", "The order was called off before shipping.", (_INVENTORY, _PROCESS, _EMAIL)
)
ORDER_SHIPPED = _public("order.shipped", "OrderShipped", "The order is with its carrier.", (_INVENTORY, _EMAIL))
ORDER_DELIVERED = _public("order.delivered", "OrderDelivered", "The carrier reported delivery.")
ORDER_RETURNED = _public("order.returned", "OrderReturned", "Pieces of the order came back.", (_INVENTORY,))

INVENTORY_RESERVED = _public(
    "inventory.reserved", "InventoryReserved", "All lines of the order are reserved.", (_PROCESS,), _INVENTORY
)
INVENTORY_REJECTED = _public(
    "inventory.rejected", "InventoryRejected", "The order's lines are not all in stock.", (_PROCESS,), _INVENTORY
)

INVENTORY_DLQ = dead_letters_of("inventory")
ORDER_PROCESS_DLQ = dead_letters_of("order_process")
EMAIL_DLQ = dead_letters_of("email")

# Not in the catalogue: it is there only while `orderlog log restore` has not finished.
ORDER_EVENTS_RESTORING = Topic(
    name="order.events.restoring",
    owner="orderlog log restore",
    pattern=Pattern.INTERNAL,
    key="none",
    schemas=(),
    partitions=1,
    config={"cleanup.policy": "delete"},
    reason="Says that order.events is being restored: no service starts, and no topic is made, while this one exists.",
)

PUBLIC: tuple[Topic, ...] = (
    ORDER_PLACED,
    ORDER_CHANGED,
    ORDER_CONFIRMED,
    ORDER_REJECTED,
    ORDER_CANCELLED,
    ORDER_SHIPPED,
    ORDER_DELIVERED,
    ORDER_RETURNED,
    INVENTORY_RESERVED,
    INVENTORY_REJECTED,
)
CATALOGUE: tuple[Topic, ...] = (
    ORDER_EVENTS,
    ORDER_EVENTS_DLQ,
    WRITER_OWNERS,
    WRITER_PROBE,
    *PUBLIC,
    INVENTORY_DLQ,
    ORDER_PROCESS_DLQ,
    EMAIL_DLQ,
)
