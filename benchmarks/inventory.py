"""Orders per second that one inventory process answers, in transactions of many and of one, against bare ones."""

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
from confluent_kafka import Producer

from benchmarks.append import bare_topic
from benchmarks.results import Figure
from eventlog.messages import Message, message_headers
from eventlog.partitioning import order_key
from eventlog.settings import Settings
from local_stack.ports import free_port
from local_stack.process import Child
from local_stack.services import environment_of, orderlog
from schemas.public_events import Line, OrderPlaced
from schemas.publish import load_public_codec
from schemas.topics import ORDER_PLACED

_ORDERS = {500: 50_000, 1: 1_000}  # by the size of a transaction
_SKUS = [f"SKU-{number}" for number in range(1_000)]
_EVERY_S = 0.02
_STOCK = "INSERT INTO inventory.levels (sku, received, available) SELECT unnest(%s::text[]), 1000000, 1000000"
_ANSWERED = "SELECT count(*) FROM inventory.reservations"


async def measure(settings: Settings) -> list[Figure]:
    """Orders of two lines are in the topic before it starts; the clock begins with the first transaction.

    The peer reads the same records and writes as many, in Kafka transactions of the same size, and keeps nothing.
    """
    return await asyncio.to_thread(_measured, settings)


def _measured(settings: Settings) -> list[Figure]:
    with psycopg.connect(settings.postgres_url, autocommit=True) as connection:
        connection.execute(_STOCK, [_SKUS])
    figures, published = list[Figure](), 0
    for batch, orders in _ORDERS.items():
        _publish(settings, orders)
        ours = _inventory_rate(settings, batch, published, published + orders)
        peer = _bare_rate(settings, batch, orders)
        size = "one" if batch == 1 else str(batch)
        name = f"inventory, one process, transactions of {size}"
        figures.append(Figure(name, ours, "orders/s", "bare Kafka transactions of the same size", peer))
        published += orders
    return figures


def _publish(settings: Settings, orders: int) -> None:
    codec = load_public_codec(settings.registry_url, settings.topic_prefix, [ORDER_PLACED])
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap, "partitioner": "murmur2_random"})
    for _ in range(orders):
        lines = tuple(Line(sku, 1 + at, 499) for at, sku in enumerate(random.sample(_SKUS, 2)))
        event = OrderPlaced(uuid4(), 1, "customer-1", "EUR", lines, 3 * 499, None)
        headers: Any = message_headers(Message(uuid4().hex, ORDER_PLACED.name, datetime.now(UTC), event), "benchmark")
        topic = settings.topic(ORDER_PLACED.name)
        producer.produce(topic, codec.encode(event), order_key(event.order_id), headers=headers)
        producer.poll(0)
    producer.flush()


def _inventory_rate(settings: Settings, batch: int, known: int, wanted: int) -> float:
    """Orders per second from its first transaction on until `wanted` orders are in the stock's tables."""
    own = {"inventory_port": free_port(), "subscriber_batch": batch, "log_level": "error"}
    log = settings.data_dir / "logs" / f"benchmark-inventory-{batch}.log"
    environment = environment_of(settings.model_copy(update=own))
    service = Child("inventory", orderlog("subscribe", "inventory"), log, environment=environment)
    service.start()
    try:
        with psycopg.connect(settings.postgres_url, autocommit=True) as connection:
            first, began = _reached(connection, service, known + 1)
            last, ended = _reached(connection, service, wanted)
            return (last - first) / (ended - began)
    finally:
        service.stop()


def _reached(connection: psycopg.Connection[tuple[Any, ...]], service: Child, wanted: int) -> tuple[int, float]:
    """The number of orders in the tables once it is `wanted` or more, and when that was seen."""
    while True:
        (found,) = connection.execute(_ANSWERED).fetchone() or (0,)
        now = time.perf_counter()
        if found >= wanted:
            return int(found), now
        service.check()
        time.sleep(_EVERY_S)


def _bare_rate(settings: Settings, batch: int, orders: int) -> float:
    places: Sequence[str] = (settings.kafka_bootstrap, settings.topic(ORDER_PLACED.name), bare_topic(settings))
    command = [sys.executable, "-m", "benchmarks.bare_transactions", *places, str(orders), str(batch)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return float(done.stdout.split()[-1])
