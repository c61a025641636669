"""A peer of the inventory: reads a topic and writes a record for each in Kafka transactions, and keeps nothing.

`python -m benchmarks.bare_transactions BOOTSTRAP SOURCE TARGET COUNT BATCH` prints its records per second and exits.
"""

import sys
import time
from uuid import uuid4

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from benchmarks.append import bare_topic
from eventlog.settings import Settings

_WAIT_S = 30.0
_TRANSACTIONS = 300


def main(bootstrap: str, source: str, target: str, count: int, batch: int) -> None:
    """Answer `count` records of `source`, at most `batch` in a transaction; print the rate from the first on."""
    name = f"bare-{uuid4().hex[:8]}"
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": name,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": name, "linger.ms": 0})
    producer.init_transactions(_WAIT_S)
    consumer.subscribe([source])
    done, began = 0, 0.0
    while done < count:
        first = consumer.poll(_WAIT_S)
        assert first is not None, "no record came"
        began = began or time.perf_counter()
        records = [first, *(consumer.consume(batch - 1, 0) if batch > 1 else ())]
        _answer(consumer, producer, target, records)
        done += len(records)
    print(done / (time.perf_counter() - began))  # noqa: T201
    consumer.close()


def latency_ms(settings: Settings) -> list[float]:
    """Milliseconds of one transaction after another, each of one record."""
    producer = Producer(
        {"bootstrap.servers": settings.kafka_bootstrap, "transactional.id": f"bare-{uuid4().hex[:8]}", "linger.ms": 0}
    )
    producer.init_transactions(_WAIT_S)
    topic, took = bare_topic(settings), list[float]()
    for _ in range(_TRANSACTIONS):
        began = time.perf_counter()
        producer.begin_transaction()
        producer.produce(topic, b"value")
        producer.commit_transaction(_WAIT_S)
        took.append((time.perf_counter() - began) * 1_000)
    return took


def _answer(consumer: Consumer, producer: Producer, target: str, records: list[Message]) -> None:
    ends: dict[tuple[str | None, int | None], int] = {}
    producer.begin_transaction()
    for record in records:
        producer.produce(target, record.value(), record.key())
        ends[record.topic(), record.partition()] = (record.offset() or 0) + 1
    offsets = [TopicPartition(str(topic), partition or 0, end) for (topic, partition), end in ends.items()]
    producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), _WAIT_S)
    producer.commit_transaction(_WAIT_S)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
