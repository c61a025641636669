"""Publishing what a projection says to the world: within its transaction, acknowledged before that is committed.

A crash in between publishes the same events once more, with the same ids. See docs/adr/0026-public-events.md.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Self

from confluent_kafka import KafkaError, KafkaException, Producer

from eventlog.messages import Message, message_headers
from eventlog.partitioning import order_key
from eventlog.settings import Settings
from schemas.errors import Explained
from schemas.public_codec import PublicCodec
from schemas.publish import load_public_codec
from schemas.topics import Topic
from service.database import Connection

_SOURCE = "public"
# A broker takes a million bytes (message.max.bytes), headers and all; a larger record would fail for ever.
_MOST_BYTES = 950_000
# Records that are published in one go, about. A small change of a large order is told as all of it: tens of kilobytes.
MOST_PUBLISHED = 1_000
_LOOK_EVERY_S = 1.0  # far below the 5 s after which Postgres ends an idle transaction


class NotPublished(Explained):
    """Kafka has not acknowledged it; whether it is there is not known."""


class Draft(NamedTuple):
    """A message as it is sent; `topic` is its name in the catalogue."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, str | bytes | None]]


class Publisher:
    """Sends messages in the name of `public`, all of one call together, in order for each key and topic.

    `count` is told how many were acknowledged, by topic.
    """

    def __init__(
        self, settings: Settings, codec: PublicCodec, count: Callable[[str, int], None] = lambda *_: None
    ) -> None:
        self._settings = settings
        self._codec = codec
        self._count = count
        self._producer: Producer | None = None
        self._one_at_a_time = asyncio.Lock()
        self._said = ""

    @classmethod
    async def load(
        cls, settings: Settings, topics: Sequence[Topic], count: Callable[[str, int], None] = lambda *_: None
    ) -> Self:
        """One that may write `topics`. Raises NotRegistered, RegistryUnavailable."""
        args = (settings.registry_url, settings.topic_prefix, topics)
        return cls(settings, await asyncio.to_thread(load_public_codec, *args), count)

    def draft(self, message: Message) -> Draft:
        """The message as it is sent. Raises ValueError when it cannot be, however often it is tried."""
        value = self._codec.encode(message.event)
        if len(value) > _MOST_BYTES:
            raise ValueError(f"{message.topic} of {message.event_id} has {len(value)} bytes, more than {_MOST_BYTES}")
        headers = message_headers(message, _SOURCE)
        return Draft(message.topic, order_key(message.event.order_id), value, [*headers])

    async def send(self, drafts: Sequence[Draft], meanwhile: Callable[[], Awaitable[object]]) -> None:
        """Return once all in-sync replicas have all of `drafts`; `meanwhile` is called every second.

        Raises NotPublished when nothing was acknowledged for `produce_deadline_s`, or something was refused. What was
        sent until then may be there, or come later; nothing is sent any more.
        """
        async with self._one_at_a_time:
            try:
                await self._send(drafts, meanwhile)
            except BaseException as error:
                await asyncio.shield(self._give_up())
                if isinstance(error, KafkaException | BufferError):
                    raise NotPublished(f"Kafka does not take public events: {error}") from error
                raise

    async def close(self) -> None:
        """Give back what sending needed."""
        await self._give_up()

    async def _send(self, drafts: Sequence[Draft], meanwhile: Callable[[], Awaitable[object]]) -> None:
        if self._producer is None:
            self._producer = self._begin()
        sending = _Sending(len(drafts))
        for topic, key, value, headers in drafts:
            self._producer.produce(self._settings.topic(topic), value, key, on_delivery=sending.told, headers=headers)
        left, since = sending.left, time.monotonic()
        while sending.left:
            await asyncio.to_thread(self._producer.flush, _LOOK_EVERY_S)
            if sending.error:
                raise NotPublished(f"Kafka does not take public events: {sending.error}")
            if sending.left < left:
                left, since = sending.left, time.monotonic()
            elif time.monotonic() - since > self._settings.produce_deadline_s:
                waited = f"for {self._settings.produce_deadline_s:g} s Kafka acknowledged no public event"
                raise NotPublished(f"{waited}: {self._said}" if self._said else waited)
            if sending.left:
                await meanwhile()
        for topic in {draft.topic for draft in drafts}:
            self._count(topic, sum(draft.topic == topic for draft in drafts))

    def _begin(self) -> Producer:
        self._said = ""
        return Producer(
            {
                "bootstrap.servers": self._settings.kafka_bootstrap,
                "enable.idempotence": True,
                # As Kafka's own clients and the log have it; librdkafka's default is another.
                "partitioner": "murmur2",
                # Whether to go on is decided here. It would give up single messages, and send later ones of the order.
                "message.timeout.ms": 0,
                # Should the broker refuse one, nothing goes on behind it.
                "enable.gapless.guarantee": True,
                "linger.ms": 0,
                "error_cb": self._note,
                "log_level": 0,
            }
        )

    def _note(self, error: KafkaError) -> None:
        self._said = error.str()

    async def _give_up(self) -> None:
        """Forget the producer with all that it has not sent: a later one begins with the same messages again."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await asyncio.to_thread(_end, producer)


class _Sending:
    """What came of the messages of one call; told so by librdkafka, from the thread that waits for it."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.error: KafkaError | None = None

    def told(self, error: KafkaError | None, _: object) -> None:
        """One message was acknowledged, or was not."""
        self.error = self.error or error
        self.left -= 1


class Outbox:
    """What one transaction of a view says to the world, kept until it is about to be committed.

    Without a `publisher` it is for views that say nothing.
    """

    def __init__(self, publisher: Publisher | None) -> None:
        self._publisher = publisher
        self._drafts: list[Draft] = []

    def add(self, messages: Sequence[Message] | None) -> None:
        """Add `messages`, all or none. Raises ValueError at one that cannot be sent."""
        if messages:
            assert self._publisher, "a view that publishes was given no publisher"
            self._drafts += [self._publisher.draft(message) for message in messages]

    async def send(self, connection: Connection) -> None:
        """Publish, the last thing before the transaction of `connection` is committed. Raises NotPublished."""
        if self._drafts:
            assert self._publisher
            # Postgres thus sees that this process still holds its locks on purpose; one that is suspended loses them.
            # Once before, too: of a transaction that ended in a pipeline, Postgres does not count how long it is idle.
            await connection.execute("SELECT 1")
            await self._publisher.send(self._drafts, lambda: connection.execute("SELECT 1"))


def _end(producer: Producer) -> None:
    producer.purge()
    producer.close()
