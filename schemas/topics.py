"""The topics as data: what there is, whose it is, what it carries and why it is kept as it is."""

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.codec import EVENT_NAMES


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `partitions` is None where the settings decide; `schemas` are record names."""

    name: str
    owner: str
    key: str
    schemas: tuple[str, ...]
    partitions: int | None
    config: Mapping[str, str]
    reason: str


ORDER_EVENTS = Topic(
    name="order.events",
    owner="command_side",
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
)

ORDER_EVENTS_DLQ = Topic(
    name="order.events.dlq",
    owner="projections",
    key="order id; the record's own when it names no order",
    schemas=(),
    partitions=1,
    config={"cleanup.policy": "delete", "retention.ms": "2592000000"},
    reason="Notices for people and tools: records of order.events as they are, which a projection could not apply, "
    "and why in the headers parked_…. What is parked stands in Postgres; `orderlog dlq` works on that.",
)

WRITER_PROBE = Topic(
    name="writer.probe",
    owner="command_side",
    key="none",
    schemas=(),
    partitions=1,
    config={"cleanup.policy": "delete", "retention.ms": "86400000"},
    reason="Where a command API tries, before it serves, whether the broker refuses a writer that was succeeded.",
)

WRITER_OWNERS = Topic(
    name="writer.owners",
    owner="command_side",
    key="partition number",
    schemas=("WriterElected",),
    partitions=1,
    config={
        "cleanup.policy": "compact",
        "segment.ms": "3600000",
        "min.cleanable.dirty.ratio": "0.1",
        "max.compaction.lag.ms": "86400000",
    },
    reason="Who writes which partition of order.events and at which address: the last barrier of each.",
)

# Not in the catalogue: it is there only while `orderlog log restore` has not finished.
ORDER_EVENTS_RESTORING = Topic(
    name="order.events.restoring",
    owner="orderlog log restore",
    key="none",
    schemas=(),
    partitions=1,
    config={"cleanup.policy": "delete"},
    reason="Says that order.events is being restored: no service starts, and no topic is made, while this one exists.",
)

CATALOGUE: tuple[Topic, ...] = (ORDER_EVENTS, ORDER_EVENTS_DLQ, WRITER_OWNERS, WRITER_PROBE)
