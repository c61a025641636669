"""Looking at everything again and again: the newest look for those who ask, the last hour for the charts."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

import structlog
from aiokafka.errors import KafkaError

from eventlog.reader import log_ends
from eventlog.settings import Settings
from query_side import queries
from query_side.dashboard.asking import Asker
from query_side.dashboard.places import Kind, Place, places
from query_side.dashboard.ring import Ring
from query_side.dashboard.standing import Heard, Projection, projection
from query_side.database import Database, Row, Unavailable
from schemas.topics import ORDER_EVENTS

log = structlog.get_logger()

HOUR_S = 3_600.0
_EVERY_S = 10.0
_LOG_PATIENCE_S = 2.0
_RATE_OVER_S = 12.0

_Offsets = Mapping[tuple[str, int, int], int]


@dataclass(frozen=True, slots=True)
class Look:
    """How everything stood `at` a time; `missing` says in a line each what could not be asked."""

    at: datetime
    projections: Sequence[Projection] = ()
    missing: Sequence[str] = ()
    terms: Mapping[int, int] = field(default_factory=dict)


class Sampler:
    """Looks every ten seconds while it is entered, and whenever somebody wants to see something newer."""

    def __init__(self, settings: Settings, database: Database, asker: Asker) -> None:
        self._settings = settings
        self._database = database
        self._asker = asker
        self._places = places(settings)
        self._looking = asyncio.Lock()
        self._last: tuple[float, Look] | None = None
        self._offsets: deque[tuple[float, _Offsets]] = deque()
        self._errors: dict[str, str] = {}
        self._known: dict[str, list[Row]] = {}
        self._task: asyncio.Task[None] | None = None
        self.ring = Ring(most=int(HOUR_S / _EVERY_S), every_s=_EVERY_S * 0.9)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._always())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def places(self, kind: Kind, name: str | None = None) -> list[Place]:
        """The processes of a kind, or of one service."""
        return [place for place in self._places if place.kind == kind and name in (None, place.name)]

    async def look(self, max_age_s: float) -> Look:
        """How everything stands, at most so long ago; all who ask at once get the same look."""
        async with self._looking:
            now = time.monotonic()
            if self._last is None or now - self._last[0] > max_age_s:
                self._last = now, await self._look(now)
            return self._last[1]

    async def heard(self, kind: Kind) -> list[tuple[Place, Heard]]:
        """What the processes of a kind say of themselves."""
        asked = self.places(kind)
        return list(zip(asked, await asyncio.gather(*map(self._ask, asked)), strict=True))

    async def _always(self) -> None:
        while True:
            try:
                await self.look(_EVERY_S / 2)
            except Exception:  # a bug of ours must not end the charts
                log.exception("dashboard_not_sampled")
            await asyncio.sleep(_EVERY_S)

    async def _look(self, now: float) -> Look:
        rows, ends, heard = await asyncio.gather(self._rows(), self._ends(), self.heard("projection"))
        missing = [one for one in (rows, ends) if isinstance(one, str)]
        known_ends = {} if isinstance(ends, str) else ends
        # While Postgres is away the workers still say what they wait for, beside the positions of before.
        found = self._known = self._known if isinstance(rows, str) else rows
        rates = self._rates(now, [row for of in found.values() for row in of])
        projections = []
        for name in found:
            workers = [worker for place, worker in heard if place.name == name]
            one = projection(name, found[name], known_ends, rates.get(name, {}), workers, self._errors.get(name, ""))
            if one.reason:
                self._errors[name] = f"{datetime.now(UTC):%H:%M:%S} UTC: {one.reason}"
            projections.append(one)
        self._keep(projections)
        terms = {row["partition"]: row["term"] for row in found.get("orders", ()) if row["partition"] is not None}
        return Look(datetime.now(UTC), projections, missing, terms)

    def _keep(self, projections: Sequence[Projection]) -> None:
        values: dict[str, float] = {}
        for one in projections:
            figures = {"lag": one.lag, "lag_s": one.lag_s, "rate": one.rate}
            values |= {f"{one.name}.{name}": value for name, value in figures.items() if value is not None}
        self.ring.put(time.time(), values)

    async def _ask(self, place: Place) -> Heard:
        ready, metrics = await asyncio.gather(self._asker.get(place, "/readyz"), self._asker.metrics(place))
        return Heard(place.url, ready, metrics)

    async def _rows(self) -> dict[str, list[Row]] | str:
        by_projection: dict[str, list[Row]] = {}
        try:
            async with asyncio.timeout(2 * _LOG_PATIENCE_S):
                for row in await queries.positions(self._database):
                    by_projection.setdefault(row["projection"], []).append(row)
        except (Unavailable, TimeoutError) as error:
            return str(error) or "the views' database does not answer"
        return by_projection or "no view was made yet; the workers make them when they start"

    async def _ends(self) -> Mapping[int, int] | str:
        try:
            async with asyncio.timeout(_LOG_PATIENCE_S):
                return await log_ends(self._settings.kafka_bootstrap, self._settings.topic(ORDER_EVENTS.name))
        except (TimeoutError, KafkaError):
            return "the log does not answer: its ends are those that the workers saw last"

    def _rates(self, now: float, rows: Sequence[Row]) -> dict[str, dict[int, float]]:
        """{projection: {partition: events a second}}, of the last seconds; of a generation that is new, nothing."""
        offsets = {
            (row["projection"], row["generation"], row["partition"]): row["next_offset"]
            for row in rows
            if row["partition"] is not None
        }
        while len(self._offsets) > 1 and now - self._offsets[1][0] > _RATE_OVER_S:
            self._offsets.popleft()
        rates: dict[str, dict[int, float]] = {}
        if self._offsets:
            since, before = self._offsets[0]
            for key, offset in offsets.items():
                if key in before:
                    rate = max(offset - before[key], 0) / max(now - since, 0.1)
                    rates.setdefault(key[0], {})[key[2]] = rate
        self._offsets.append((now, offsets))
        return rates
