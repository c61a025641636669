"""An order's partition is the one that any Kafka client's default partitioner gives it."""

from uuid import UUID

from aiokafka.partitioner import DefaultPartitioner
from aiokafka.partitioner import murmur2 as of_aiokafka
from hypothesis import given
from hypothesis import strategies as st

from eventlog.partitioning import murmur2, order_key, partition_of


@given(st.binary(min_size=36, max_size=36))
def test_the_hash_is_kafka_s(key: bytes) -> None:
    assert murmur2(key) == of_aiokafka(key)


@given(st.uuids(), st.integers(1, 1000))
def test_the_partition_is_the_default_partitioner_s(order_id: UUID, partitions: int) -> None:
    every = list(range(partitions))
    assert partition_of(order_id, partitions) == DefaultPartitioner()(order_key(order_id), every, every)
