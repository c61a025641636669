"""Customers of a shop that live through faults: they place orders, change their minds, and wait for what is decided."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any
from uuid import UUID

import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition

from eventlog.settings import Settings
from local_stack.shop import GOODS, Call, order_body
from tests.kit.clients import Clients
from tests.kit.history import Acknowledged
from tests.kit.worlds import eventually

SCARCE = "KETTLE-GOOSENECK"
SKUS = ("TEA-EARL-GREY-100", "TEA-MINT-50", "CUP-WHITE", "CUP-BLUE", SCARCE)
_AT_ONCE = 20
_PATIENCE_S = 120.0
_ENDS = {b"OrderConfirmed": "confirmed", b"OrderRejected": "rejected", b"OrderCancelled": "cancelled"}


class Shop:
    """Its customers repeat each command, under its key, until it is answered."""

    def __init__(self, url: str, seed: int) -> None:
        self._clients = Clients([url], seed)
        self._url = url
        self._random = Random(seed)
        self.orders: set[UUID] = set()
        self.ends: dict[UUID, str] = {}
        """{order: the first of its ends that is in the log}"""

    @property
    def acknowledged(self) -> list[Acknowledged]:
        """What customers were told."""
        return self._clients.acknowledged

    async def trade(self, orders: int) -> None:
        """So many orders; return once each has come to an end."""
        to_come = iter(range(orders))

        async def customer(client: httpx.AsyncClient) -> None:
            for _ in to_come:
                await self._live(client)

        async with httpx.AsyncClient(timeout=5) as client, asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(customer(client))

    @asynccontextmanager
    async def watching(self, settings: Settings) -> AsyncIterator[None]:
        """`ends` follows the log while this is entered, also through an end of the broker."""
        places = [TopicPartition(settings.topic("order.events"), number) for number in range(settings.partitions)]
        async with AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, auto_offset_reset="earliest") as log:
            log.assign(places)
            await log.seek_to_beginning(*places)
            watching = asyncio.create_task(self._watch(log))
            try:
                yield
            finally:
                watching.cancel()

    async def _watch(self, log: AIOKafkaConsumer) -> None:
        while True:
            for records in (await log.getmany(timeout_ms=200)).values():
                for headers in (dict(record.headers) for record in records):
                    if end := _ENDS.get(headers["ce_type"]):
                        self.ends.setdefault(UUID(headers["ce_subject"].decode()), end)

    async def _live(self, client: httpx.AsyncClient) -> None:
        random = self._random
        order_id = UUID(int=random.getrandbits(128), version=4)
        self.orders.add(order_id)
        lines = {sku: random.randint(1, 3) for sku in random.sample(SKUS, random.randint(1, 3))}
        body = {**order_body(random, order_id, lines), "currency": "EUR", "email": address_of(order_id)}
        changes, cancels, ships, regrets = (random.random() < chance for chance in (0.25, 0.1, 0.25, 0.1))
        await self._ask(client, order_id, "POST", "", body)
        if changes:
            sku = random.choice(sorted(lines))
            await self._ask(client, order_id, "PATCH", f"/lines/{sku}", {"quantity": lines[sku] + 1})
        if cancels:
            await self._ask(client, order_id, "POST", "/cancel", {"reason": "changed my mind"})
        await eventually(lambda: order_id in self.ends, timeout_s=_PATIENCE_S)
        if self.ends[order_id] == "confirmed" and ships and not changes:
            paid = {"amount": sum(GOODS[sku] * quantity for sku, quantity in lines.items()), "reference": "pay"}
            await self._ask(client, order_id, "POST", "/payments", paid)
            await self._ask(client, order_id, "POST", "/ship", {"carrier": "DHL", "tracking": "JD01"})
        elif regrets:
            await self._ask(client, order_id, "POST", "/cancel", {"reason": "found it cheaper"})

    async def _ask(
        self, client: httpx.AsyncClient, order_id: UUID, method: str, path: str, body: Mapping[str, Any]
    ) -> None:
        call = Call(method, f"/{order_id}{path}" if path else "", body)
        await self._clients.send(client, call, str(order_id), self._url, self._random)


def address_of(order_id: UUID) -> str:
    """Where the mails about an order go."""
    return f"{order_id}@example.com"
