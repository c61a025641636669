"""What the pages show, gathered: one look at a time for all who watch, however many they are."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self, get_args

from eventlog.settings import Settings
from query_side.api.models import Status
from query_side.dashboard.asking import Asker, Reply
from query_side.dashboard.catalogue import topics
from query_side.dashboard.places import PUBLISHING, Place
from query_side.dashboard.sampling import HOUR_S, Sampler
from query_side.dashboard.shapes import spark
from query_side.dashboard.standing import Heard, subscriber
from query_side.dashboard.writing import write_side
from query_side.database import Database, Unavailable
from query_side.stats import Stats, Sums

Shown = dict[str, Any]
TICK_S = 2.0
_SHORTEST_CHART_S = 120.0
_STATS_EVERY_S = 6.0
_STATS_PATIENCE_S = 3.0
_TOP = 10
STRETCHES = {"minute": timedelta(hours=1), "hour": timedelta(days=2), "day": timedelta(days=60)}


@dataclass(frozen=True, slots=True)
class Parked:
    """What one service has set aside; `why` says why that is not known."""

    place: Place
    why: str
    events: Sequence[Mapping[str, Any]]


class Board:
    """Gathers what the pages show while it is entered; `end` ends all streams."""

    def __init__(self, settings: Settings, database: Database, stats: Stats) -> None:
        self.settings = settings
        self.database = database
        self.asker = Asker()
        self.sampler = Sampler(settings, database, self.asker)
        self._stats = stats
        self._kept: dict[str, tuple[float, Shown]] = {}
        self._gathering: dict[str, asyncio.Lock] = {}
        self._stack = AsyncExitStack()
        self._ended = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.asker)
        await self._stack.enter_async_context(self.sampler)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def end(self) -> None:
        """Have every stream end: the process stops."""
        self._ended.set()

    def forget(self) -> None:
        """Have everything be asked anew: something was done."""
        self._kept.clear()

    async def tick(self) -> bool:
        """Wait until it is time for the next look; False when there is to be none."""
        try:
            async with asyncio.timeout(TICK_S):
                await self._ended.wait()
        except TimeoutError:
            return True
        return False

    async def projections(self) -> Shown:
        """Every projection's standing and its last hour."""
        look = await self.sampler.look(TICK_S * 0.9)
        until, ring = time.time(), self.sampler.ring
        # So long as there is less than an hour of it, what there is fills the chart.
        span_s = min(max(until - (ring.since or until), _SHORTEST_CHART_S), HOUR_S)
        sparks = {
            one.name: {
                figure: spark(ring.series(f"{one.name}.{figure}"), until, span_s) for figure in ("lag", "lag_s", "rate")
            }
            for one in look.projections
        }
        return {"look": look, "sparks": sparks, "span_s": span_s}

    async def rebuilds(self) -> Shown:
        """Every projection's generations, and the rebuild that is under way."""
        return await self._shared("rebuilds", TICK_S * 0.9, self._rebuilds)

    async def parked(self) -> Shown:
        """What projections and subscribers have set aside."""
        return await self._shared("parked", TICK_S * 0.9, self._parked)

    async def writing(self) -> Shown:
        """The command APIs and their partitions."""
        return await self._shared("writing", TICK_S * 0.9, self._writing)

    async def backbone(self) -> Shown:
        """The subscribers, and the topics."""
        return await self._shared("backbone", TICK_S * 0.9, self._backbone)

    async def sales(self, by: str) -> Shown:
        """Orders by status, revenue `by` minute, hour or day, and what sold best."""
        return await self._shared(f"sales-{by}", _STATS_EVERY_S, lambda: self._sales(by))

    async def _shared(self, key: str, max_age_s: float, gather: Callable[[], Awaitable[Shown]]) -> Shown:
        async with self._gathering.setdefault(key, asyncio.Lock()):
            kept = self._kept.get(key)
            if kept is None or time.monotonic() - kept[0] > max_age_s:
                kept = self._kept[key] = time.monotonic(), {**await gather(), "at": datetime.now(UTC)}
            return kept[1]

    async def _rebuilds(self) -> Shown:
        asked = [place for place in self.sampler.places("projection") if place.name != PUBLISHING]
        return {"projections": await self._ask_one_each(asked, "/rebuild")}

    async def _parked(self) -> Shown:
        asked = [*self.sampler.places("projection"), *self.sampler.places("subscriber")]
        replies = await self._ask_one_each(asked, "/parked")
        return {"parked": [Parked(place, reply.why, reply.body.get("parked", ())) for place, reply in replies]}

    async def _ask_one_each(self, asked: Sequence[Place], path: str) -> list[tuple[Place, Reply]]:
        """What is the same in all processes of a service, from the first of each that answers."""
        replies = await asyncio.gather(*(self.asker.get(place, path) for place in asked))
        found: dict[str, tuple[Place, Reply]] = {}
        for place, reply in zip(asked, replies, strict=True):
            if place.name not in found or (found[place.name][1].why and not reply.why):
                found[place.name] = place, reply
        return list(found.values())

    async def _writing(self) -> Shown:
        places = self.sampler.places("command")
        owners, heard, look = await asyncio.gather(
            asyncio.gather(*(self.asker.get(place, "/owners") for place in places)),
            self.sampler.heard("command"),
            self.sampler.look(TICK_S * 0.9),
        )
        return {"writing": write_side(owners, [one for _, one in heard], look.terms)}

    async def _backbone(self) -> Shown:
        heard: list[tuple[Place, Heard]] = await self.sampler.heard("subscriber")
        return {"subscribers": [subscriber(place.name, one) for place, one in heard], "topics": topics(self.settings)}

    async def _sales(self, by: str) -> Shown:
        since = int((datetime.now(UTC) - STRETCHES[by]).timestamp())
        try:
            async with asyncio.timeout(_STATS_PATIENCE_S):
                status, revenue, skus = await asyncio.gather(
                    self._stats.sums({"kind": "status"}),
                    self._stats.sums({"kind": by, "since": str(since)}),
                    self._stats.sums({"kind": "sku"}),
                )
        except (Unavailable, TimeoutError) as error:
            return {"why": str(error) or "the sales tables do not answer in time", "by": by}
        return {"why": "", "by": by, "funnel": _funnel(status), "revenue": _revenue(revenue), "skus": _best(skus)}


def _funnel(sums: Sums) -> list[tuple[str, int, float]]:
    """(status, orders, share of the greatest)."""
    counts = [(one, sums.rows.get((one, ""), [0])[0]) for one in get_args(Status)]
    most = max(count for _, count in counts) or 1
    return [(name, count, count / most) for name, count in counts]


def _revenue(sums: Sums) -> dict[str, list[tuple[int, int, int]]]:
    """{currency: [(seconds, orders, payments less refunds)]}."""
    found: dict[str, list[tuple[int, int, int]]] = {}
    for (start, currency), (orders, payments, refunds) in sorted(sums.rows.items()):
        found.setdefault(currency, []).append((int(start), orders, payments - refunds))
    return found


def _best(sums: Sums) -> list[tuple[str, str, int, int]]:
    """(sku, currency, pieces, revenue)."""
    rows = [(str(sku), currency, pieces, worth) for (sku, currency), (pieces, worth) in sums.rows.items() if pieces > 0]
    return sorted(rows, key=lambda row: (-row[2], row[0]))[:_TOP]
