"""Which partition an order lives in. The rule is for life: see `Settings.partitions`."""

from uuid import UUID

from aiokafka.partitioner import murmur2


def order_key(order_id: UUID) -> bytes:
    """The Kafka key of an order's events."""
    return str(order_id).encode()


def partition_of(order_id: UUID, partitions: int) -> int:
    """The partition of an order: Kafka's own default partitioner (murmur2) over the key, so that any client agrees."""
    return int((murmur2(order_key(order_id)) & 0x7FFFFFFF) % partitions)
