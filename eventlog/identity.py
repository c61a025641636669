"""Which log this is: positions of one log mean nothing in another.

A topic's id tells a topic from one of the same name that was deleted and made anew. Kafka gives it in
version 10 of Metadata (KIP-516), and aiokafka 0.14 stops at 5, so that request is written down here.
"""

import io
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_METADATA, _VERSION = 3, 10
_NO_ID = UUID(int=0)


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """The cluster's id, and the topic's in it."""

    topic: str
    cluster_id: str
    topic_id: UUID

    def __str__(self) -> str:
        return f"{self.topic} ({self.topic_id}) of cluster {self.cluster_id}"


class _Uuid(AbstractType):  # type: ignore[misc]  # aiokafka has no types
    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: io.BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


_TEXT = CompactString("utf-8")
_PARTITION = (
    ("error_code", Int16),
    ("partition", Int32),
    ("leader", Int32),
    ("leader_epoch", Int32),
    ("replicas", CompactArray(Int32)),
    ("isr", CompactArray(Int32)),
    ("offline_replicas", CompactArray(Int32)),
    ("tags", TaggedFields),
)
_TOPIC = (
    ("error_code", Int16),
    ("name", _TEXT),
    ("topic_id", _Uuid),
    ("is_internal", Boolean),
    ("partitions", CompactArray(*_PARTITION)),
    ("authorized_operations", Int32),
    ("tags", TaggedFields),
)
_BROKER = (("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT), ("tags", TaggedFields))


class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY, API_VERSION = _METADATA, _VERSION
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", CompactArray(*_BROKER)),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        ("topics", CompactArray(*_TOPIC)),
        ("authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataStruct(RequestStruct):  # type: ignore[misc]
    API_KEY, API_VERSION, FLEXIBLE_VERSION = _METADATA, _VERSION, True
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", _TEXT), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _Metadata(Request[_MetadataStruct]):  # type: ignore[misc]
    API_KEY = _METADATA

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class([(_NO_ID, self._topic, {})], False, False, False, {})


async def read_identity(bootstrap: str, topic: str) -> LogIdentity:
    """The identity of `topic`. Raises UnknownTopicOrPartitionError, or another KafkaError."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    try:
        await client.bootstrap()
        answer = await client.send(client.get_random_node(), _Metadata(topic))
    finally:
        await client.close()
    ((error_code, _, topic_id, *_),) = answer.topics
    if error_code:
        raise for_code(error_code)(topic)
    return LogIdentity(topic, answer.cluster_id, topic_id)
