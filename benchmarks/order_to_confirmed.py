"""How long an order takes from its placing to its confirmation, through every service, at 200 orders a second.

The command API appends, the public projection tells, the inventory reserves, the process manager sends the command,
the command API appends again; the mails are sent beside it. All of that, the broker, Postgres and this client share
the cores.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from uuid import uuid4

import psycopg
from aiokafka import AIOKafkaConsumer

from benchmarks.bare_transactions import latency_ms
from benchmarks.load import Connections, order_placed
from benchmarks.results import Figure, percentile
from benchmarks.servers import command_api
from eventlog.settings import Settings
from local_stack.ports import free_port
from local_stack.probes import http_ready, wait_until
from local_stack.services import SERVICES
from schemas.topics import ORDER_EVENTS

_PER_SECOND, _SECONDS, _WARM_UP_S = 200, 20, 10
_READY_S, _END_S = 60.0, 60.0
_SERVICES = ("projection-public", "subscriber-inventory", "subscriber-order-process", "mailbox", "subscriber-email")
_PORTS = ("public_worker_port", "inventory_port", "order_process_port", "email_port", "mailbox_port")
_STOCK = "INSERT INTO inventory.levels (sku, received, available) SELECT unnest(%s::text[]), 10000000, 10000000"
_SKUS = ["TEA-EARL-GREY-100", "CUP-WHITE"]


async def measure(settings: Settings) -> list[Figure]:
    """From sending the order to its OrderConfirmed in the log; the peer is one bare Kafka transaction."""
    with psycopg.connect(settings.postgres_url, autocommit=True) as connection:
        connection.execute(_STOCK, [_SKUS])
    bare = sorted(await asyncio.to_thread(latency_ms, settings))
    with command_api(settings) as commands, _backbone(settings, commands.url):
        took = sorted(await _taken(settings, commands.url))
    return [
        Figure(
            f"placed to confirmed, {_PER_SECOND} orders/s, {name}",
            percentile(took, share),
            "ms",
            f"a bare transaction on an idle broker, {name}",
            percentile(bare, share),
        )
        for name, share in (("p50", 0.5), ("p99", 0.99))
    ]


@contextmanager
def _backbone(settings: Settings, command_url: str) -> Iterator[None]:
    """The services between a placed order and a confirmed one, ready."""
    smtp = free_port()
    own = {port: free_port() for port in _PORTS} | {"mailbox_smtp_port": smtp, "smtp_port": smtp}
    theirs = settings.model_copy(update={**own, "command_url": command_url, "log_level": "error"})
    with ExitStack() as running:
        for service in (one for one in SERVICES if one.name in _SERVICES):
            child = service.child(theirs, settings.data_dir / "logs")
            child.start()
            running.callback(child.stop)
            wait_until(lambda: http_ready(service.part(theirs).ready_url), child, _READY_S)  # noqa: B023
        yield


async def _taken(settings: Settings, command_url: str) -> list[float]:
    """Milliseconds, of the orders placed after the warm-up."""
    sent: dict[str, float] = {}
    confirmed: dict[str, float] = {}
    count = _PER_SECOND * (_SECONDS + _WARM_UP_S)
    async with _confirmations(settings, confirmed), AsyncExitStack() as opened, asyncio.TaskGroup() as group:
        commands, start = Connections(command_url, opened), time.perf_counter()

        async def place(order_id: object) -> None:
            async with commands.one() as connection:
                await connection.ask(order_placed(command_url, order_id), 201)  # type: ignore[arg-type]

        for number in range(count):
            await asyncio.sleep(max(start + number / _PER_SECOND - time.perf_counter(), 0))
            order_id = uuid4()
            sent[str(order_id)] = time.perf_counter()
            group.create_task(place(order_id))
        async with asyncio.timeout(_END_S):
            while len(confirmed) < count:
                await asyncio.sleep(0.1)
    counted = [order for order, at in sent.items() if at - start > _WARM_UP_S]
    return [(confirmed[order] - sent[order]) * 1_000 for order in counted]


@asynccontextmanager
async def _confirmations(settings: Settings, found: dict[str, float]) -> AsyncIterator[None]:
    """While entered, `found` takes the moment at which each order's confirmation was read from the log."""
    topic = settings.topic(ORDER_EVENTS.name)
    async with AIOKafkaConsumer(topic, bootstrap_servers=settings.kafka_bootstrap) as consumer:
        await consumer.seek_to_end()

        async def read() -> None:
            async for record in consumer:
                if ("ce_type", b"OrderConfirmed") in record.headers:
                    found[record.key.decode()] = time.perf_counter()

        reading = asyncio.create_task(read())
        try:
            yield
        finally:
            reading.cancel()
