"""Order traffic over HTTP: many lives at once, each request with its own Idempotency-Key, repeated until answered."""

import asyncio
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from random import Random
from uuid import UUID, uuid4

import httpx
from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential_jitter

from local_stack.shop import Call, life

_PACE_S = 1.5
_ORDERS_AT_ONCE = 1_000
_LOOK_EVERY_S = 0.25
_LOOKS = 240


class _NotAnswered(Exception):
    """Nobody knows what became of the request; the same key may be sent again."""


@dataclass(slots=True)
class Tally:
    """What came of the commands so far; `rejected` by the problem's type."""

    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    repeated: int = 0

    @property
    def answered(self) -> int:
        """Commands that got a final answer."""
        return self.accepted + self.rejected.total()


class Traffic:
    """Sends orders to a command API at a given rate until cancelled; the query API tells what became of them."""

    def __init__(self, command_url: str, query_url: str, orders_per_second: float, random: Random) -> None:
        self.tally = Tally()
        self._url = command_url
        self._query_url = query_url
        self._rate = orders_per_second
        self._random = random

    async def run(self) -> None:
        """Begin a new order every 1/rate seconds, fewer when answers are slow; their lives go on side by side."""
        room = asyncio.Semaphore(_ORDERS_AT_ONCE)
        limits = httpx.Limits(max_connections=64)
        async with (
            httpx.AsyncClient(base_url=self._url, limits=limits, timeout=30) as client,
            httpx.AsyncClient(base_url=self._query_url, limits=limits, timeout=30) as queries,
            asyncio.TaskGroup() as group,
        ):
            while True:
                await room.acquire()
                group.create_task(self._live(client, queries)).add_done_callback(lambda _: room.release())
                await asyncio.sleep(1 / self._rate)

    async def place(self, body: dict[str, object]) -> UUID:
        """Place one order outside the traffic; its id."""
        async with httpx.AsyncClient(base_url=self._url, timeout=30) as client:
            answer = await self._answered(client, Call("POST", "", body))
        return UUID(answer.raise_for_status().json()["order_id"])

    async def _live(self, client: httpx.AsyncClient, queries: httpx.AsyncClient) -> None:
        calls, accepted = life(Random(self._random.random()), _PACE_S), None
        while call := _next(calls, accepted):
            await asyncio.sleep(call.pause_s)
            if call.decides:
                if await _decided(queries, call) != "confirmed":
                    return
                continue
            answer = await self._answered(client, call)
            accepted = answer.is_success
            if accepted:
                self.tally.accepted += 1
            else:
                self.tally.rejected[answer.json()["type"].rpartition(":")[2]] += 1

    async def _answered(self, client: httpx.AsyncClient, call: Call) -> httpx.Response:
        headers = {"Idempotency-Key": str(uuid4())}
        if call.if_match:
            headers["If-Match"] = call.if_match
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type((_NotAnswered, httpx.TransportError)),
            wait=wait_exponential_jitter(multiplier=0.1, max=2),
        ):
            with attempt:
                self.tally.repeated += attempt.retry_state.attempt_number > 1
                answer = await client.request(call.method, f"/orders{call.path}", json=call.body, headers=headers)
                if answer.status_code >= 500:
                    raise _NotAnswered
        return answer


def _next(calls: Generator[Call, bool | None, None], accepted: bool | None) -> Call | None:
    """What follows once the last call was `accepted` or not; None at the end."""
    try:
        return calls.send(accepted)
    except StopIteration:
        return None


async def _decided(queries: httpx.AsyncClient, call: Call) -> str:
    """The order's status once it is open no more; "open" when that takes too long."""
    order_id = call.path.split("/")[1]
    for _ in range(_LOOKS):
        try:
            answer = await queries.get(f"/orders/{order_id}")
        except httpx.TransportError:
            continue
        finally:
            await asyncio.sleep(_LOOK_EVERY_S)
        if answer.is_success and (status := str(answer.json()["status"])) != "open":
            return status
    return "open"
