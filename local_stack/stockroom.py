"""The demo's stockroom: receives what the shop sells, again and again, and of one thing always too little."""

import asyncio
from collections.abc import Mapping

import httpx

from local_stack.shop import GOODS

_EVERY_S = 5.0
_SCARCE = "KETTLE-GOOSENECK"
_PLENTY, _FEW = 2_000, 10


class Stockroom:
    """Keeps an inventory stocked until cancelled; a service that does not answer is asked again."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def open(self) -> None:
        """Receive what is there on the first day; on a later one, nothing."""
        async with httpx.AsyncClient(base_url=self._url, timeout=30) as client:
            for sku in GOODS:
                await _receive(client, sku, _usual(sku), "opening")

    async def run(self) -> None:
        """Receive more of what runs low."""
        async with httpx.AsyncClient(base_url=self._url, timeout=5) as client:
            while True:
                await asyncio.sleep(_EVERY_S)
                try:
                    for sku, available in (await _levels(client)).items():
                        if available < _usual(sku) // 2:
                            await _receive(client, sku, _usual(sku), None)
                except httpx.HTTPError:
                    continue


def _usual(sku: str) -> int:
    return _FEW if sku == _SCARCE else _PLENTY


async def _levels(client: httpx.AsyncClient) -> Mapping[str, int]:
    answer = (await client.get("/stock", params={"limit": 100})).raise_for_status().json()
    return {level["sku"]: level["available"] for level in answer["stock"] if level["sku"] in GOODS}


async def _receive(client: httpx.AsyncClient, sku: str, quantity: int, key: str | None) -> None:
    headers = {"Idempotency-Key": key} if key else {}
    answer = await client.post(f"/stock/{sku}/receipts", json={"quantity": quantity}, headers=headers)
    answer.raise_for_status()
