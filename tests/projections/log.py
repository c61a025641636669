"""A log for tests of its readers: well-formed records, put there by a plain producer."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from aiokafka import AIOKafkaProducer

from eventlog.partitioning import order_key, partition_of
from eventlog.recorded import Metadata, to_headers
from eventlog.settings import Settings
from schemas.codec import Codec
from schemas.events import LogEvent, OrderConfirmed, OrderEvent, WriterElected


@dataclass
class LogWriter:
    """Appends events with the versions and the term a command side would give them; they happen `now`."""

    producer: AIOKafkaProducer
    settings: Settings
    codec: Codec
    term: int = 1
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    versions: dict[str, int] = field(default_factory=dict)

    async def append(self, events: Iterable[OrderEvent], *, partition: int | None = None, term: int = 0) -> int:
        """Append `events` to their orders' partitions, or all to `partition`; the last one's offset."""
        sent = []
        for event in events:
            subject = str(event.order_id)
            version = self.versions[subject] = self.versions.get(subject, 0) + 1
            where = partition_of(event.order_id, self.settings.partitions) if partition is None else partition
            sent.append(await self._send(event, where, order_key(event.order_id), version, term or self.term))
        return [int((await answer).offset) for answer in sent][-1]

    async def elect(self, term: int, partition: int) -> int:
        """Append a barrier that begins `term`; its offset. Later events carry this term."""
        self.term = term
        barrier = WriterElected("writer", term, 1, term, "http://writer")
        return int((await (await self._send(barrier, partition, None, 0, term))).offset)

    async def append_written(self, value: bytes, order_id: UUID) -> None:
        """Append `value`, under whatever schema it was written, as the next event of an order."""
        subject = str(order_id)
        self.versions[subject] = self.versions.get(subject, 0) + 1
        await self.append_encoded(value, order_id, self.versions[subject])

    async def append_encoded(self, value: bytes, order_id: UUID, version: int) -> None:
        """Append `value` as the event of an order, the `version`th, under whatever schema it was written."""
        about = Metadata(str(uuid4()), datetime.now(UTC), str(order_id), version, self.term, str(uuid4()), "", "")
        where = partition_of(order_id, self.settings.partitions)
        headers = [header for header in to_headers(OrderConfirmed(order_id, 0), about) if header[0] != "ce_type"]
        topic = self.settings.topic("order.events")
        await self.producer.send_and_wait(topic, value, order_key(order_id), where, headers=headers)

    async def append_bytes(self, value: bytes, partition: int) -> int:
        """Append a record that is no event; its offset."""
        topic = self.settings.topic("order.events")
        return int((await self.producer.send_and_wait(topic, value, partition=partition)).offset)

    async def _send(self, event: LogEvent, partition: int, key: bytes | None, version: int, term: int) -> Any:
        subject = str(getattr(event, "order_id", "writer"))
        about = Metadata(str(uuid4()), self.now(), subject, version, term, str(uuid4()), "", "")
        return await self.producer.send(
            self.settings.topic("order.events"),
            self.codec.encode(event),
            key,
            partition,
            headers=to_headers(event, about),
        )


@asynccontextmanager
async def log_writer(settings: Settings, codec: Codec) -> AsyncIterator[LogWriter]:
    """A writer for the log of `settings`."""
    async with AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap, enable_idempotence=True, linger_ms=5, max_batch_size=500_000
    ) as producer:
        yield LogWriter(producer, settings, codec)
