"""Public events of a test, and subscribers as real processes of its world."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from confluent_kafka import Consumer, Producer, TopicPartition

from eventlog.messages import Message, message_headers, read_message
from eventlog.partitioning import order_key
from eventlog.settings import Settings
from local_stack.ports import free_port
from local_stack.probes import http_ready, wait_until
from local_stack.process import Child
from local_stack.services import environment_of, orderlog
from schemas import public_events as told
from schemas.publish import load_public_codec
from schemas.topics import PUBLIC

_READY_S = 60.0
_CALL_S = 30.0


class PublicTopics:
    """The public topics of a world, to write to and to read from as any client would."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.codec = load_public_codec(settings.registry_url, settings.topic_prefix, PUBLIC)
        self._topics = {name.removeprefix("public."): topic.name for topic in PUBLIC for name in topic.schemas}
        self._producer = Producer({"bootstrap.servers": settings.kafka_bootstrap, "partitioner": "murmur2_random"})
        self.published = 0

    def message(self, event: Any, event_id: str = "") -> Message:
        """An event as its publisher would send it."""
        event_id = event_id or f"{event.order_id}:{event.order_version}"
        return Message(event_id, self._topics[type(event).__name__], datetime.now(UTC), event, event_id, "cause")

    def publish(self, *events: Any, repeated: int = 1) -> list[Message]:
        """Write `events` to their topics, each so often under its id."""
        messages = [event if isinstance(event, Message) else self.message(event) for event in events]
        for message in messages * repeated:
            headers: Any = message_headers(message, "test")
            value = self.codec.encode(message.event)
            self._write(message.topic, order_key(message.event.order_id), value, headers)
        self._producer.flush(_CALL_S)
        return messages

    def write(self, topic: str, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        """Write any record."""
        self._write(topic, key, value, list(headers))
        self._producer.flush(_CALL_S)

    def read(self, *topics: str) -> list[Message]:
        """All that is committed in `topics`, each topic's partitions one after another."""
        messages = []
        for record in self.records(*topics):
            messages.append(read_message(record.headers(), self.codec.decode(record.value())))
        return messages

    def counts(self, *topics: str) -> Counter[str]:
        """How often each event id stands in `topics`."""
        return Counter(message.event_id for message in self.read(*topics))

    def records(self, *topics: str) -> list[Any]:
        """All records that are committed in `topics`."""
        consumer = Consumer(
            {
                "bootstrap.servers": self._settings.kafka_bootstrap,
                "group.id": "test",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
            }
        )
        try:
            physical = [self._settings.topic(topic) for topic in topics]
            known = consumer.list_topics(timeout=_CALL_S).topics
            places = [
                TopicPartition(topic, partition, 0) for topic in physical for partition in known[topic].partitions
            ]
            consumer.assign(places)
            found, ended = [], 0
            while ended < len(places):
                record = consumer.poll(_CALL_S)
                assert record is not None, f"{topics} do not come to their end"
                if record.error():
                    ended += 1
                else:
                    found.append(record)
            return found
        finally:
            consumer.close()

    def _write(self, topic: str, key: bytes, value: bytes, headers: Any) -> None:
        self._producer.produce(self._settings.topic(topic), value, key, headers=headers)
        self._producer.poll(0)


class Subscriber(Child):
    """A subscriber as a process of its own, on a port that it keeps; `module` is run if it is not in the catalogue.

    `code` is a folder with packages that are to take the place of the installed ones.
    """

    def __init__(
        self, settings: Settings, log_file: Path, name: str, module: str | None = None, code: Path | None = None
    ) -> None:
        self.subscription = name
        port = free_port()
        field = f"{name}_port" if f"{name}_port" in Settings.model_fields else "subscriber_port"
        self.settings = settings.model_copy(update={field: port, "log_format": "json"})
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", module] if module else orderlog("subscribe", name)
        super().__init__(log_file.stem, command, log_file, environment=environment_of(self.settings), cwd=code)

    def start(self) -> None:
        """Start it and return once it has partitions."""
        super().start()
        wait_until(self.is_ready, self, _READY_S)

    def start_only(self) -> None:
        """Start it and return at once."""
        super().start()

    def is_ready(self) -> bool:
        """Whether it says that messages are taken in."""
        return http_ready(f"{self.url}/readyz")

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The lines of its log about `event`."""
        lines = self.log_file.read_text().splitlines() if self.log_file.exists() else []
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [line for line in found if line.get("event") == event]


def placed(order_id: UUID, *lines: tuple[str, int], version: int = 1, changed: bool = False) -> Any:
    """order.placed, or order.changed, of `lines` of (sku, quantity)."""
    kind = told.OrderChanged if changed else told.OrderPlaced
    ordered = tuple(told.Line(sku, quantity, 100) for sku, quantity in lines or [("TEA-1", 1)])
    total = sum(line.quantity * line.unit_price for line in ordered)
    return kind(order_id, version, "c-1", "EUR", ordered, total, None)


def told_of(kind: Any, order_id: UUID, version: int, **fields: Any) -> Any:
    """A thin event."""
    return kind(order_id, version, f"/orders/{order_id}", **fields)
