"""Sums of the `sales` projection: asked from the workers that serve its partitions, and added up. Whole, or not at all.

Postgres says which worker serves which partition. That may be out of date, so each worker is asked for exactly
the partitions it is said to have, and answers only when it has them all: no partition is left out or counted twice.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import httpx

from eventlog.positions import format_positions
from query_side.database import Database, Unavailable
from query_side.sql import SALES_WORKERS
from query_side.wait import Reached

_PATIENCE_S = 5.0
_ASK_AGAIN_S = 0.1

Key = tuple[str | int, str]
"""What a sum is of, and its currency ("" where it has none)."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over all orders, as of {partition: last offset}."""

    rows: Mapping[Key, Sequence[int]]
    offsets: Mapping[int, int]

    @property
    def position(self) -> str:
        """As Orderlog-Position gives it."""
        return format_positions(dict(self.offsets))


class Changing(Unavailable):
    """The sums are not to be had at this moment: workers change over to a new generation."""


class Stats:
    """Asks for sums while it is entered; `reached` is how far the projection says it has come."""

    def __init__(self, database: Database, reached: Reached, partitions: int, change_over_s: float) -> None:
        self._database = database
        self._partitions = partitions
        self._change_over_s = change_over_s
        self._shown: dict[int, int] = {}
        self._client = httpx.AsyncClient(timeout=_PATIENCE_S)
        self._listening = reached.listening()
        self.reached = reached

    async def __aenter__(self) -> Self:
        await self._listening.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listening.__aexit__(None, None, None)
        await self._client.aclose()

    async def sums(self, query: Mapping[str, str]) -> Sums:
        """The sums that the projection's `read` gives for `query`. Raises Unavailable unless all partitions answer.

        While workers change over to a new generation it waits for them, and shows nothing older than it did before.
        """
        deadline = asyncio.get_running_loop().time() + self._change_over_s
        while True:
            try:
                return await self._sums(query)
            except Changing:
                if self.reached.ended or asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(_ASK_AGAIN_S)

    async def _sums(self, query: Mapping[str, str]) -> Sums:
        shown = dict(self._shown)
        routes, changing = await self._routes()
        try:
            found = await self._added_up(routes, query)
            if changing and (older := [p for p, last in shown.items() if found.offsets.get(p, -1) < last]):
                raise Unavailable(f"the new sales tables are behind the old ones in partition {older[0]}")
        except Unavailable as error:
            raise (Changing(str(error)) if changing else error) from error
        for partition, last in found.offsets.items():
            self._shown[partition] = max(last, self._shown.get(partition, -1))
        return found

    async def _added_up(self, routes: Mapping[str, Sequence[int]], query: Mapping[str, str]) -> Sums:
        answers = await asyncio.gather(*(self._ask(url, partitions, query) for url, partitions in routes.items()))
        if len({answer["generation"] for answer in answers}) != 1:
            raise Unavailable("the sales tables are being replaced by new ones")
        rows: dict[Key, list[int]] = {}
        for answer in answers:
            for (name, currency), sums in answer["rows"]:
                known = rows.get((name, currency), [0] * len(sums))
                rows[name, currency] = [a + b for a, b in zip(known, sums, strict=True)]
        next_offsets = {int(p): offset for answer in answers for p, offset in answer["next_offsets"].items()}
        return Sums(rows, {p: offset - 1 for p, offset in next_offsets.items() if offset > 0})

    async def _routes(self) -> tuple[Mapping[str, Sequence[int]], bool]:
        """{URL of a worker: its partitions}, each partition once; whether workers change over."""
        routes: dict[str, list[int]] = {}
        rows = await self._database.rows(SALES_WORKERS, {})
        for row in rows:
            routes.setdefault(row["url"], []).append(row["partition"])
        missing = set(range(self._partitions)).difference(*routes.values())
        if missing:
            raise Unavailable(f"no worker has said yet that it serves partition {min(missing)} of the sales tables")
        return routes, rows[0]["changing"]

    async def _ask(self, url: str, partitions: Sequence[int], query: Mapping[str, str]) -> Mapping[str, Any]:
        wanted = ",".join(map(str, sorted(partitions)))
        try:
            answer = await self._client.get(f"{url}/tables", params={**query, "partitions": wanted})
        except httpx.TransportError as error:
            raise Unavailable(f"the sales worker of partitions {wanted} does not answer") from error
        if answer.status_code != httpx.codes.OK:
            reason = answer.json()["reason"] if "json" in answer.headers.get("content-type", "") else answer.text
            raise Unavailable(f"the sales worker of partitions {wanted} cannot answer now: {reason}")
        body: Mapping[str, Any] = answer.json()
        return body
