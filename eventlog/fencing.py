"""The wire of the fenced writer: InitProducerId, Produce and ListOffsets over one shared client.

The protocol rests on one behaviour of Apache Kafka: a broker refuses a record batch whose
producer epoch is lower than one it has seen from that producer id in that partition, inside a
transaction or not (KIP-98, KIP-360). AIOKafkaProducer hides the epoch, retries for ever and adds
a sender task between us and the broker, so the three requests are made here, by hand. This is the
only file that uses aiokafka's internals; tests/eventlog/test_fencing.py fails when they change.
See docs/adr/0002-fenced-single-writer.md.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeVar

from aiokafka import errors
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition

from eventlog.courier import Courier

_LATEST = -1
_ACKS_ALL = -1
_ANY_SIZE = 2**31 - 1
_SEQUENCES = 2**31
_RETRY_S = 0.05
# InitProducerId wants a transaction timeout; no transaction is ever opened, so any legal value does.
_TRANSACTION_TIMEOUT_MS = 60_000

T = TypeVar("T")


class Fenced(Exception):
    """A newer writer was elected for the partition: nothing was appended, and nothing will be."""


class OutcomeUnknown(Exception):
    """The broker gave no usable answer: the batch may be in the log, or may still arrive there.

    Only a new election settles it: once the new barrier is in the log, what is not before it
    never will be.
    """


@dataclass(frozen=True, slots=True)
class Epoch:
    """What InitProducerId answered: batches stamped with it are refused once a higher epoch wrote."""

    producer_id: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Draft:
    """A record that is to be appended; `timestamp_ms` is the time of recording."""

    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]
    timestamp_ms: int


def advance(sequence: int, count: int) -> int:
    """The sequence number after `count` records; Kafka's wrap to 0 after 2^31-1."""
    return (sequence + count) % _SEQUENCES


class LogClient:
    """One connection pool to the brokers, shared by every partition's writer of a process."""

    def __init__(self, bootstrap: str, topic: str, request_timeout_s: float) -> None:
        self._topic = topic
        self._timeout_ms = int(request_timeout_s * 1000)
        self._couriers: dict[int, Courier] = {}
        self._client = AIOKafkaClient(bootstrap_servers=bootstrap, request_timeout_ms=self._timeout_ms)

    async def __aenter__(self) -> Self:
        await self._client.bootstrap()
        self._client.set_topics([self._topic])
        await self._client.force_metadata_update()
        return self

    async def __aexit__(self, *_: object) -> None:
        for courier in self._couriers.values():
            await courier.stop()
        await self._client.close()

    async def elect(self, transactional_id: str) -> Epoch:
        """Raise the epoch of `transactional_id`. Retries until answered; bound it with a timeout.

        Raises KafkaError when the broker refuses for good (no authorization, say).
        """

        async def attempt() -> Epoch:
            node = await self._client.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id)
            request = InitProducerIdRequest(transactional_id, _TRANSACTION_TIMEOUT_MS)
            answer = await self._client.send(node, request, group=ConnectionGroup.COORDINATION)
            _raise_for(answer.error_code)
            return Epoch(answer.producer_id, answer.producer_epoch)

        return await self._retrying(attempt)

    async def append(self, partition: int, epoch: Epoch, sequence: int, drafts: Sequence[Draft]) -> int:
        """Append `drafts` as one atomic batch and return its first offset, once all in-sync replicas have it.

        `sequence` is the number of records appended under this epoch so far (see `advance`). The
        same bytes are sent again until they are answered, and the broker drops repeats by their
        sequence, so they land at most once. Raises Fenced, or OutcomeUnknown; bound it with a
        timeout, whose end also means that the outcome is unknown.
        """
        batch = _record_batch(epoch, sequence, drafts)

        async def attempt() -> int:
            error_code, offset = await self._courier(self._leader(partition)).deliver(partition, batch)
            _raise_for(error_code)
            return offset

        try:
            return await self._retrying(attempt)
        except (errors.InvalidProducerEpoch, errors.ProducerFenced) as error:
            raise Fenced(f"a newer writer owns partition {partition}") from error
        except errors.KafkaError as error:
            raise OutcomeUnknown(f"partition {partition}: {error!r}") from error

    async def end_offset(self, partition: int) -> int:
        """The offset after the last record that all in-sync replicas have. Retries; bound it with a timeout."""

        async def attempt() -> int:
            request = OffsetRequest(-1, 0, [(self._topic, [(partition, _LATEST)])])
            answer = await self._client.send(self._leader(partition), request)
            ((_, ((_, error_code, _timestamp, offset, *_rest),)),) = answer.topics
            _raise_for(error_code)
            return int(offset)

        return await self._retrying(attempt)

    def _courier(self, node: int) -> Courier:
        if node not in self._couriers:
            self._couriers[node] = Courier(partial(self._produce, node))
        return self._couriers[node]

    async def _produce(self, node: int, batches: Mapping[int, bytes]) -> Mapping[int, tuple[int, int]]:
        """Send one batch for each partition; the error codes and first offsets that the broker answered."""
        request = ProduceRequest(
            transactional_id=None,
            required_acks=_ACKS_ALL,
            timeout=self._timeout_ms,
            topics=[(self._topic, list(batches.items()))],
        )
        answer = await self._client.send(node, request)
        ((_, partitions),) = answer.topics
        return {partition: (error_code, offset) for partition, error_code, offset, *_ in partitions}

    def _leader(self, partition: int) -> int:
        leader: int | None = self._client.cluster.leader_for_partition(TopicPartition(self._topic, partition))
        if leader is None or leader < 0:
            raise errors.LeaderNotAvailableError
        return leader

    async def _retrying(self, attempt: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await attempt()
            except KeyError:
                # AIOKafkaClient.send looks up a connection that closed while it timed out.
                await self._client.force_metadata_update()
            except errors.KafkaError as error:
                if not error.retriable:
                    raise
                if error.invalid_metadata:
                    await self._client.force_metadata_update()
            await asyncio.sleep(_RETRY_S)


def _record_batch(epoch: Epoch, sequence: int, drafts: Sequence[Draft]) -> bytes:
    builder: Any = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=epoch.producer_id,
        producer_epoch=epoch.epoch,
        base_sequence=sequence,
        batch_size=_ANY_SIZE,
    )
    for index, draft in enumerate(drafts):
        builder.append(index, draft.timestamp_ms, draft.key, draft.value, draft.headers)
    return bytes(builder.build())


def _raise_for(error_code: int) -> None:
    error_type = errors.for_code(error_code)
    if error_type is not errors.NoError:
        raise error_type
