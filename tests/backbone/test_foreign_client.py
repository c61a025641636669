"""A client that has nothing of ours reads the public topics: confluent-kafka, its own deserializer, the registry."""

import json
from collections import defaultdict
from contextlib import ExitStack
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
from confluent_kafka import Consumer, KafkaError
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from fastavro import parse_schema, schemaless_reader
from msgspec import to_builtins

from eventlog.settings import Settings
from schemas import events as log
from schemas.topics import PUBLIC
from tests.kit.subscribers import PublicTopics, Subscriber
from tests.kit.worlds import Worker, eventually, prepare
from tests.projections.histories import HOME, placed
from tests.projections.log import log_writer

KEPT, REJECTED, CANCELLED = (uuid4() for _ in range(3))
TOPICS = [topic.name for topic in PUBLIC]
CONTACT = json.loads(Path("schemas/avro/Contact.v1.avsc").read_text())


async def test_every_public_event_is_read_by_a_client_that_knows_the_registry_alone(
    settings: Settings, tmp_path: Path
) -> None:
    codec = await prepare(settings, public=True)
    topics, public = PublicTopics(settings), Worker(settings, tmp_path / "public.log", "public")
    inventory = Subscriber(settings, tmp_path / "inventory.log", "inventory")
    with ExitStack() as stack:
        for child in (public, inventory):
            stack.callback(child.kill)
            child.start()
        async with log_writer(settings, codec) as writer:
            async with httpx.AsyncClient(base_url=inventory.url, timeout=30) as client:
                (await client.post("/stock/TEA/receipts", json={"quantity": 3})).raise_for_status()
            lines = (log.Line("TEA", 2, 499),)
            await writer.append([placed(KEPT, "ada", lines)])
            await eventually(lambda: topics.counts("inventory.reserved"), inventory)
            await writer.append([placed(REJECTED, "bob", lines), placed(CANCELLED, "eve", lines)])
            await eventually(lambda: topics.counts("inventory.rejected").total() == 2, inventory)
            await writer.append(the_rest())
            await eventually(lambda: topics.counts("order.returned", "order.cancelled").total() == 2, public)
            await eventually(lambda: topics.counts("order.rejected"), public)
    found = read_as_a_stranger(settings)
    assert set(found) == set(TOPICS)
    for (topic, order_id), wanted in expected().items():
        value = next(value for value in found[topic] if value["order_id"] == order_id)
        if topic in ("order.placed", "order.changed"):
            contact = schemaless_reader(BytesIO(value.pop("personal_data")), parse_schema(CONTACT), None)
            assert contact == {"email": "ada@example.com", "shipping_address": to_builtins(HOME)}
        assert value == wanted, topic


def the_rest() -> list[Any]:
    """What becomes of the orders."""
    return [
        log.LineQuantityChanged(KEPT, "TEA", 3),
        log.OrderConfirmed(KEPT, 1497),
        log.OrderShipped(KEPT, "DHL", "JD01", ("JD01",)),
        log.OrderDelivered(KEPT),
        log.LinesReturned(KEPT, (log.ReturnedLine("TEA", 1),), None),
        log.OrderRejected(REJECTED, log.Reason("out of stock")),
        log.OrderCancelled(CANCELLED, log.Reason("changed my mind")),
    ]


def expected() -> dict[tuple[str, UUID], dict[str, Any]]:
    """{(topic, order): the first value it has of the order, without the contact}."""

    def whole(version: int, quantity: int) -> dict[str, Any]:
        lines = [{"sku": "TEA", "quantity": quantity, "unit_price": 499}]
        order = {"order_id": KEPT, "order_version": version, "customer_id": "ada", "currency": "EUR", "key_id": None}
        return {**order, "lines": lines, "total": quantity * 499}

    def thin(order_id: UUID, version: int, **more: Any) -> dict[str, Any]:
        return {"order_id": order_id, "order_version": version, "ask_at": f"/orders/{order_id}", **more}

    short = [{"sku": "TEA", "wanted": 2, "available": 1}]
    return {
        ("order.placed", KEPT): whole(1, 2),
        ("order.changed", KEPT): whole(2, 3),
        ("order.confirmed", KEPT): thin(KEPT, 3),
        ("order.shipped", KEPT): thin(KEPT, 4, carrier="DHL", tracking="JD01"),
        ("order.delivered", KEPT): thin(KEPT, 5),
        ("order.returned", KEPT): thin(KEPT, 6, lines=[{"sku": "TEA", "quantity": 1}]),
        ("order.rejected", REJECTED): thin(REJECTED, 2),
        ("order.cancelled", CANCELLED): thin(CANCELLED, 2),
        ("inventory.reserved", KEPT): {"order_id": KEPT, "order_version": 1},
        ("inventory.rejected", REJECTED): {"order_id": REJECTED, "order_version": 1, "short": short},
    }


def read_as_a_stranger(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """{topic: its values, each order's in sequence}, as a program reads them that was given two addresses and names."""
    registry = SchemaRegistryClient({"url": f"{settings.registry_url}/apis/ccompat/v7"})
    decode = AvroDeserializer(registry)
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap,
            "group.id": f"{settings.topic_prefix}stranger",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    found = defaultdict[str, list[dict[str, Any]]](list)
    consumer.subscribe([settings.topic(topic) for topic in TOPICS])
    try:
        ended = 0
        while ended < sum(topic.partitions or 0 for topic in PUBLIC):
            record = consumer.poll(30)
            assert record is not None, "the topics do not come to their end"
            if error := record.error():
                assert error.code() == KafkaError._PARTITION_EOF, error
                ended += 1
                continue
            physical = str(record.topic())
            value: Any = decode(record.value(), SerializationContext(physical, MessageField.VALUE))
            topic = physical.removeprefix(settings.topic_prefix)
            assert_is_a_cloud_event(topic, record, value)
            found[topic].append(value)
    finally:
        consumer.close()
    return found


def assert_is_a_cloud_event(topic: str, record: Any, value: dict[str, Any]) -> None:
    """Key and headers are what the docs say: CloudEvents' Kafka binding, and ours."""
    headers = {name: told.decode() for name, told in record.headers()}
    order_id = str(value["order_id"])
    assert record.key().decode() == order_id
    assert headers["ce_specversion"] == "1.0"
    assert headers["ce_type"] == topic
    assert headers["ce_source"] == ("orderlog/inventory" if topic.startswith("inventory.") else "orderlog/public")
    assert headers["ce_subject"] == order_id
    assert headers["ce_id"]
    assert datetime.fromisoformat(headers["ce_time"]).tzinfo
    assert headers["content-type"] == "application/avro"
    assert headers["version"] == str(value["order_version"])
    assert headers["causation_id"]
