"""The way from the topics to a subscriber and back: a consumer group, and a transaction for each batch it finishes.

A transaction of Kafka's makes offsets and answers visible together (consume-process-produce, KIP-98), and the group's
metadata in it has the broker refuse a process that has lost its partitions meanwhile (KIP-447). All calls of
librdkafka that may wait run in one thread of their own; the rebalances are served there too.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import Message as KafkaMessage

from eventlog.recorded import Header
from eventlog.settings import Settings
from subscribers import kafka_clients
from subscribers.deliveries import Delivery
from subscribers.kafka_clients import CALL_S

T = TypeVar("T")

_POLL_S = 0.1
_HUNG_S = 30.0  # longest all calls of a piece of work may take together, with the broker away
TopicAndPartition = tuple[str, int]
# What a broker says to a member of the group that its partitions may have been taken from.
_NOT_OURS = (KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.REBALANCE_IN_PROGRESS)


class FeedBroken(Exception):
    """The feed cannot go on, and must be opened anew: it was fenced, or the broker does not answer."""


class FeedHung(Exception):
    """A call of librdkafka does not return. Nothing can end it but the end of the process."""


class Undone(Exception):
    """A transaction was not committed; its records come again."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to be written; `topic` is its name in the catalogue, and the partitioner is Kafka's own."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was fetched at once. `membership` is the group's metadata of that moment: the broker refuses it later."""

    deliveries: tuple[Delivery, ...]
    membership: Any

    def only(self, places: set[TopicAndPartition]) -> "Fetched":
        """Without the records of partitions that are not among `places`."""
        ours = tuple(one for one in self.deliveries if (one.topic, one.partition) in places)
        return self if len(ours) == len(self.deliveries) else Fetched(ours, self.membership)


class Feed:
    """Use as an async context manager. For one task at a time.

    Raises FeedBroken wherever the broker is needed, and FeedHung anywhere.

    `on_trouble` is called, from the feed's thread, with what the broker is waited for; FeedBroken may follow or not.
    """

    def __init__(
        self,
        settings: Settings,
        group: str,
        topics: Sequence[str],
        transactional_id: str,
        on_trouble: Callable[[str], None],
    ) -> None:
        self._on_trouble = on_trouble
        self._prefix = settings.topic_prefix
        self._topics = topics
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feed")
        self._paused = False
        self._called: float | None = None
        self.assigned: set[TopicAndPartition] = set()
        self._unread = f"{group}.dlq"
        self._settings = kafka_clients.consumer_settings(settings, self._prefix + group)
        self._consumer = Consumer(self._settings)
        self._producer = Producer(kafka_clients.producer_settings(settings, self._prefix + transactional_id))

    async def __aenter__(self) -> "Feed":
        try:
            await self._call(lambda: self._producer.init_transactions(CALL_S))
            physical = [self._prefix + topic for topic in self._topics]
            await self._call(
                lambda: self._consumer.subscribe(
                    physical, on_assign=self._assign, on_revoke=self._revoke, on_lost=self._revoke
                )
            )
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._in_thread(self._close)
        self._thread.shutdown(wait=False)

    async def fetch(self, most: int) -> Fetched:
        """At most `most` records; none when none come within a moment."""
        return await self._call(lambda: self._fetch(most))

    async def keep_alive(self) -> set[TopicAndPartition]:
        """Stay in the group without fetching, to be called every few seconds; the partitions that are still ours."""
        await self._call(self._idle)
        return self.assigned

    async def commit(self, fetched: Fetched, outgoing: Sequence[Outgoing]) -> None:
        """Write `outgoing`, and that `fetched` is done, at once or not at all. Raises Undone: it comes again then."""
        try:
            if outgoing:
                await self._call(lambda: self._transaction(fetched, outgoing))
            elif fetched.deliveries:
                await self._call(lambda: self._commit(fetched))
        except FeedBroken as broken:
            error = broken.__cause__.args[0] if isinstance(broken.__cause__, KafkaException) else None
            if not isinstance(error, KafkaError) or not (error.txn_requires_abort() or error.code() in _NOT_OURS):
                raise
            if outgoing:
                await self._call(lambda: self._producer.abort_transaction(CALL_S))
            await self._call(lambda: self._rewind(fetched))
            raise Undone(str(broken)) from broken

    async def write(self, outgoing: Sequence[Outgoing]) -> None:
        """Write `outgoing`, all or none of it."""
        await self._call(lambda: self._transaction(None, outgoing))

    async def lag(self) -> Mapping[TopicAndPartition, int]:
        """{(topic, partition): records that are not done} of the partitions that are ours; none if nobody can tell."""
        try:
            return await self._call(self._lag)
        except FeedBroken as broken:
            self._on_trouble(str(broken))  # nothing is lost by not knowing it
            return {}

    @property
    def silent(self) -> bool:
        """Whether the broker has not answered a call for longer than it should take: librdkafka tries on by itself."""
        return self._called is not None and time.monotonic() - self._called > CALL_S

    async def _call(self, work: Callable[[], T]) -> T:
        self._called = time.monotonic()
        try:
            return await self._in_thread(work)
        except KafkaException as error:
            raise FeedBroken(_said(error)) from error
        except SystemError as error:  # confluent-kafka lets some fatal errors out in this way
            raise FeedBroken(f"Kafka: {error}") from error
        finally:
            self._called = None

    # send_offsets_to_transaction does not keep to its timeout while the group's coordinator is away (librdkafka 2.16,
    # its issues 5456 and 5511), and a call made again was seen never to return.
    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(_HUNG_S):
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except TimeoutError:
            raise FeedHung(f"the Kafka client has not returned from a call for {_HUNG_S:g} s") from None

    def _fetch(self, most: int) -> Fetched:
        self._resume()
        first = self._consumer.poll(_POLL_S)
        # `consume` would wait until it has them all.
        messages = [first, *self._consumer.consume(most - 1, 0)] if first and most > 1 else [first] if first else []
        for message in messages:
            if error := message.error():
                self._raise_unless_passing(error)
        deliveries = [self._delivery(message) for message in messages if not message.error()]
        return Fetched(tuple(deliveries), self._consumer.consumer_group_metadata())

    def _idle(self) -> None:
        if not self._paused:
            self._paused = True
            self._consumer.pause(self._consumer.assignment())
        if message := self._consumer.poll(0):
            if error := message.error():
                self._raise_unless_passing(error)
            else:  # it was on its way to us: again later
                back = self._delivery(message)
                self._consumer.seek(TopicPartition(self._prefix + back.topic, back.partition, back.offset))

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._consumer.resume(self._consumer.assignment())

    # A call that timed out may be made again, says librdkafka. Made again while a broker came back, it was seen to wait
    # for ever (2.16); a new producer ends the old one's transaction by itself, so that is what a timeout leads to.
    def _transaction(self, fetched: Fetched | None, outgoing: Sequence[Outgoing]) -> None:
        producer = self._producer
        producer.begin_transaction()
        for one in outgoing:
            headers: Any = list(one.headers)
            producer.produce(self._prefix + one.topic, one.value, one.key, headers=headers)
        if fetched:
            producer.send_offsets_to_transaction(self._ends(fetched), fetched.membership, CALL_S)
        producer.commit_transaction(CALL_S)

    def _commit(self, fetched: Fetched) -> None:
        """Note that `fetched` is done: with nothing to go with it, that takes no transaction."""
        self._consumer.commit(offsets=self._ends(fetched), asynchronous=False)

    def _ends(self, fetched: Fetched) -> list[TopicPartition]:
        ends = {(one.topic, one.partition): one.offset + 1 for one in fetched.deliveries}
        return [TopicPartition(self._prefix + topic, partition, end) for (topic, partition), end in ends.items()]

    def _rewind(self, fetched: Fetched) -> None:
        starts = {(one.topic, one.partition): one.offset for one in reversed(fetched.deliveries)}
        for (topic, partition), start in starts.items():
            if (topic, partition) in self.assigned:
                self._consumer.seek(TopicPartition(self._prefix + topic, partition, start))

    def _lag(self) -> Mapping[TopicAndPartition, int]:
        lags: dict[TopicAndPartition, int] = {}
        for at in self._committed():
            low, high = self._consumer.get_watermark_offsets(at, cached=True)
            if high >= 0:  # it has been fetched from
                lags[self._named(at)] = max(high - (at.offset if at.offset >= 0 else max(low, 0)), 0)
        return lags

    def _committed(self) -> list[TopicPartition]:
        """The group's offsets of what is ours.

        A broker that was killed between the end of a transaction and its note for the group was seen to forget that
        note when it came back (Kafka 4.3, its only broker): the offsets stay pending, and nobody is told them any more.
        Another transaction of the same producer ends that. It is given up, so the batch comes again, and its answers
        may stand in their topics twice, under one id; to complete it could take an answer for published that is not.
        """
        ours = self._consumer.assignment()
        try:
            return self._consumer.committed(ours, CALL_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._TIMED_OUT:
                raise
        # Told whether or not they are pending; raises if it is the broker that does not answer.
        Consumer({**self._settings, "isolation.level": "read_uncommitted"}).committed(ours, CALL_S)
        self._on_trouble("Kafka: the group's offsets are pending; giving the transaction up that they belong to")
        self._producer.begin_transaction()
        nothing = TopicPartition(self._prefix + self._unread, 0, 0)
        self._producer.send_offsets_to_transaction([nothing], self._consumer.consumer_group_metadata(), CALL_S)
        self._producer.abort_transaction(CALL_S)
        return self._consumer.committed(ours, CALL_S)

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.assigned |= {self._named(one) for one in partitions}
        consumer.incremental_assign(partitions)
        if self._paused:
            consumer.pause(partitions)

    def _revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.assigned -= {self._named(one) for one in partitions}
        consumer.incremental_unassign(partitions)

    def _named(self, at: TopicPartition) -> TopicAndPartition:
        return at.topic.removeprefix(self._prefix), at.partition

    def _raise_unless_passing(self, error: KafkaError) -> None:
        if error.fatal():
            raise KafkaException(error)
        self._on_trouble(f"Kafka: {error.str()}")  # librdkafka goes on about it by itself

    def _delivery(self, message: KafkaMessage) -> Delivery:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None  # it has no error
        assert partition is not None
        assert offset is not None
        told: Any = message.headers() or ()
        headers = tuple((name, value or b"") for name, value in told)
        _, timestamp = message.timestamp()
        key: Any = message.key()
        value: Any = message.value()
        return Delivery(topic.removeprefix(self._prefix), partition, offset, timestamp, key, value, headers)

    def _close(self) -> None:
        self._consumer.close()
        # Gone before the next feed's come, and with them what they would still try.
        del self._consumer, self._producer


def _said(error: KafkaException) -> str:
    cause = error.args[0]
    return f"Kafka: {cause.str()}" if isinstance(cause, KafkaError) else f"Kafka: {error}"
