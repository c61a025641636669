"""Clients that live through faults: each repeats a command under its key until it is answered, and keeps the answer."""

import asyncio
import time
from collections.abc import Sequence
from random import Random
from uuid import uuid4

import httpx

from local_stack.shop import Call, life
from tests.kit.history import Acknowledged

_PATIENCE_S = 5.0  # a stopped process keeps a client waiting no longer than that
_PAUSE_S = 0.02


class Clients:
    """Orders of a shop, many at once, sent to any of `urls`; `acknowledged` is what the clients were told."""

    def __init__(self, urls: Sequence[str], seed: int) -> None:
        self.urls = urls
        self.acknowledged: list[Acknowledged] = []
        self._random = Random(seed)
        self._ending = asyncio.Event()

    async def run(self, at_once: int) -> None:
        """Live order after order, `at_once` of them at any time, until `end`; then finish those under way."""
        async with httpx.AsyncClient(timeout=_PATIENCE_S) as client:
            await asyncio.gather(*(self._customer(client, Random(self._random.random())) for _ in range(at_once)))

    def end(self) -> None:
        """Begin no more orders."""
        self._ending.set()

    async def _customer(self, client: httpx.AsyncClient, random: Random) -> None:
        url = random.choice(self.urls)
        while not self._ending.is_set():
            order_id = ""
            for call in life(random, 1.0):
                order_id = order_id or str((call.body or {})["order_id"])
                url = await self.send(client, call, order_id, url, random)

    async def send(self, client: httpx.AsyncClient, call: Call, order_id: str, url: str, random: Random) -> str:
        """Repeat the command until it is answered, elsewhere after each failure; the URL that answered."""
        headers = {"Idempotency-Key": str(uuid4())} | ({"If-Match": call.if_match} if call.if_match else {})
        sent = time.monotonic()
        while (answer := await self._answer(client, call, url, headers)) is None:
            await asyncio.sleep(_PAUSE_S)
            url = random.choice(self.urls)
        if answer.is_success:
            told = answer.json()
            key, now = headers["Idempotency-Key"], time.monotonic()
            self.acknowledged.append(Acknowledged(key, order_id, told["version"], told["position"], sent, now))
        return url

    async def _answer(
        self, client: httpx.AsyncClient, call: Call, url: str, headers: dict[str, str]
    ) -> httpx.Response | None:
        try:
            answer = await client.request(call.method, f"{url}/orders{call.path}", json=call.body, headers=headers)
        except httpx.TransportError:
            return None
        return answer if answer.status_code < 500 else None
