"""Publishing what a projection says to the world: within its transaction, acknowledged before that is committed.

A crash in between publishes the same events once more, with the same ids. See docs/adr/0026-public-events.md.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple, Self

from confluent_kafka import KafkaError, KafkaException, Producer

from eventlog.messages import Message, message_headers
from eventlog.partitioning import order_key, partition_of
from eventlog.settings import Settings
from schemas.errors import Explained
from schemas.public_codec import PublicCodec
from schemas.publish import load_public_codec
from schemas.topics import Topic
from service.database import Connection
from service.tracing import Hops

_SOURCE = "public"
# A broker takes a million bytes (message.max.bytes), headers and all; a larger record would fail for ever.
_MOST_BYTES = 950_000
# Records that are published in one go, about. A small change of a large order is told as all of it: tens of kilobytes.
MOST_PUBLISHED = 1_000
# A broker forgets producers that it has not heard of for a day (producer.id.expiration.ms), partition by partition.
_KNOWN_FOR_S = 3_600.0
_LOOK_EVERY_S = 1.0  # far below the 5 s after which Postgres ends an idle transaction

# What calls of its producer raise. A fatal error is raised out of whichever call hears of it; a delivery report that is
# told in that same call is called with the exception set, of which CPython makes a SystemError.
_FROM_LIBRDKAFKA = (KafkaException, SystemError, BufferError)

Count = Callable[[str, int], None]
"""Is told how many messages were acknowledged, by topic."""


class NotPublished(Explained):
    """Kafka has not acknowledged it; whether it is there is not known."""


class Draft(NamedTuple):
    """A message as it is sent; `topic` is its name in the catalogue."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: list[tuple[str, str | bytes | None]]


class Publisher:
    """Sends messages in the name of `public` to `topics`, in order for each order and topic."""

    def __init__(
        self, settings: Settings, codec: PublicCodec, topics: Sequence[Topic], count: Count = lambda *_: None
    ) -> None:
        self._settings = settings
        self._codec = codec
        self._partitions = {topic.name: topic.partitions or settings.partitions for topic in topics}
        self._count = count
        self._producer: Producer | None = None
        # When each (topic, partition) last took something of this producer.
        self._known: dict[tuple[str, int], float] = {}
        self._one_at_a_time = asyncio.Lock()
        # One, so that a producer is not ended while a call that nobody waits for any more is still at it.
        self._thread = ThreadPoolExecutor(1, "publisher")
        self._said = ""

    @classmethod
    async def load(cls, settings: Settings, topics: Sequence[Topic], count: Count = lambda *_: None) -> Self:
        """One that may write `topics`. Raises NotRegistered, RegistryUnavailable."""
        codec = await asyncio.to_thread(load_public_codec, settings.registry_url, settings.topic_prefix, topics)
        return cls(settings, codec, topics, count)

    def draft(self, message: Message) -> Draft:
        """The message as it is sent. Raises ValueError when it cannot be, however often it is tried."""
        value = self._codec.encode(message.event)
        if len(value) > _MOST_BYTES:
            raise ValueError(f"{message.topic} of {message.event_id} has {len(value)} bytes, more than {_MOST_BYTES}")
        order_id, headers = message.event.order_id, message_headers(message, _SOURCE)
        partition = partition_of(order_id, self._partitions[message.topic])
        return Draft(message.topic, partition, order_key(order_id), value, [*headers])

    async def send(self, drafts: Sequence[Draft], meanwhile: Callable[[], Awaitable[object]]) -> None:
        """Return once all in-sync replicas have all of `drafts`; `meanwhile` is called every second.

        Raises NotPublished when nothing was acknowledged for `produce_deadline_s`, or something was refused. What was
        sent until then may be there, or come later; nothing is sent any more.
        """
        async with self._one_at_a_time:
            try:
                for wave in self._waves(drafts):
                    await self._send(wave, meanwhile)
            except BaseException as error:
                await asyncio.shield(self._give_up())
                if isinstance(error, _FROM_LIBRDKAFKA):
                    raise NotPublished(f"Kafka does not take public events: {_told_by(error)}") from error
                raise

    async def close(self) -> None:
        """Give back what sending needed."""
        await self._give_up()

    def _waves(self, drafts: Sequence[Draft]) -> Iterator[Sequence[Draft]]:
        """`drafts` in the parts that are to be acknowledged one after the other.

        Of a producer that it does not know, or not any more, a partition takes whatever comes first. Were the first
        batch refused, it would take the next one, which is under way, and the order's events were out of sequence. So
        the first message goes alone; from then on nothing can come but what follows.
        """
        lately = time.monotonic() - _KNOWN_FOR_S
        first: dict[tuple[str, int], Draft] = {}
        for draft in drafts:
            if self._known.get((draft.topic, draft.partition), lately) <= lately:
                first.setdefault((draft.topic, draft.partition), draft)
        if first:
            yield list(first.values())
        if rest := [draft for draft in drafts if first.get((draft.topic, draft.partition)) is not draft]:
            yield rest

    async def _send(self, drafts: Sequence[Draft], meanwhile: Callable[[], Awaitable[object]]) -> None:
        self._producer = producer = self._producer or self._begin()
        sending = _Sending(len(drafts))
        for topic, partition, key, value, headers in drafts:
            name = self._settings.topic(topic)
            producer.produce(name, value, key, partition, on_delivery=sending.told, headers=headers)
        left, since = sending.left, time.monotonic()
        while sending.left:
            await self._in_thread(producer.flush, _LOOK_EVERY_S)
            if sending.error:
                raise KafkaException(sending.error)
            if sending.left < left:
                left, since = sending.left, time.monotonic()
            elif time.monotonic() - since > self._settings.produce_deadline_s:
                waited = f"for {self._settings.produce_deadline_s:g} s Kafka acknowledged no public event"
                raise NotPublished(f"{waited}: {self._said}" if self._said else waited)
            if sending.left:
                await meanwhile()
        self._known |= dict.fromkeys(((draft.topic, draft.partition) for draft in drafts), time.monotonic())
        for topic, count in Counter(draft.topic for draft in drafts).items():
            self._count(topic, count)

    def _begin(self) -> Producer:
        self._said = ""
        return Producer(
            {
                "bootstrap.servers": self._settings.kafka_bootstrap,
                "enable.idempotence": True,
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
        self._known.clear()
        if producer is not None:
            await self._in_thread(_end, producer)

    async def _in_thread(self, call: Callable[..., object], *args: object) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)


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
        self._hops = Hops("send")

    def add(self, messages: Sequence[Message] | None) -> None:
        """Add `messages`, all or none. Raises ValueError at one that cannot be sent."""
        if messages:
            assert self._publisher, "a view that publishes was given no publisher"
            self._drafts += [self._publisher.draft(message) for message in self._hops.carried(messages)]

    async def send(self, connection: Connection) -> None:
        """Publish, the last thing before the transaction of `connection` is committed. Raises NotPublished."""
        if self._drafts:
            assert self._publisher
            # Postgres thus sees that this process still holds its locks on purpose; one that is suspended loses them.
            # Once before, too: of a transaction that ended in a pipeline, Postgres does not count how long it is idle.
            await connection.execute("SELECT 1")
            await self._publisher.send(self._drafts, lambda: connection.execute("SELECT 1"))
            self._hops.end()


def _end(producer: Producer) -> None:
    with suppress(*_FROM_LIBRDKAFKA):
        producer.purge()
    with suppress(*_FROM_LIBRDKAFKA):
        producer.close()


def _told_by(error: BaseException) -> str:
    first = error
    while isinstance(first, SystemError) and first.__context__:
        first = first.__context__
    said = first.args[0] if isinstance(first, KafkaException) else first
    return said.str() if isinstance(said, KafkaError) else str(said)
