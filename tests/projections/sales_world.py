"""A sales projection for tests: its workers, and the query API that adds up what they serve."""

import asyncio
from collections.abc import AsyncIterator, Sequence, Set
from contextlib import asynccontextmanager
from functools import partial

from eventlog.reader import log_ends
from eventlog.settings import Settings
from query_side.database import Database, Unavailable
from query_side.sql import SALES
from query_side.stats import Stats
from query_side.stats import Sums as Answer
from query_side.wait import Reached
from schemas.codec import Codec
from tests.kit.worlds import Worker, eventually, log_of
from tests.projections.sales_refold import sales_of, up_to

KINDS = ("status", "minute", "hour", "day", "sku", "customer")


class SalesWorld:
    """The log of a world, and the sums that its sales workers give."""

    def __init__(self, settings: Settings, codec: Codec, stats: Stats) -> None:
        self.settings = settings
        self._codec = codec
        self._stats = stats

    async def caught_up(self, running: Worker) -> None:
        """Return once the tables, as a query sees them, are at the log's end."""
        ends = await log_ends(self.settings.kafka_bootstrap, self.settings.topic("order.events"))
        wanted = {partition: end - 1 for partition, end in ends.items() if end}

        async def at_the_end() -> bool:
            answer = await self.ask("status")
            return answer is not None and answer.offsets == wanted

        await eventually(at_the_end, running)

    async def ask(self, kind: str) -> Answer | None:
        """One kind of sums, None while they are not to be had."""
        try:
            return await self._stats.sums({"kind": kind})
        except Unavailable:
            return None

    async def check(self, but: Set[str] = frozenset()) -> None:
        """Each kind of sums must be what the log, without the positions `but`, comes to up to its position."""
        await self.check_all([(kind, await eventually(partial(self.ask, kind))) for kind in KINDS], but)

    async def check_all(self, answers: Sequence[tuple[str, Answer]], but: Set[str] = frozenset()) -> None:
        """Each answer must be what the log, without the positions `but`, comes to up to the answer's position."""
        log = await log_of(self.settings, self._codec, but)
        for kind, answer in answers:
            wanted = sales_of(up_to(log, {partition: last + 1 for partition, last in answer.offsets.items()}))
            found = {key: list(sums) for key, sums in answer.rows.items() if any(sums)}
            assert found == wanted[kind], kind

    async def watch(self, kinds: Sequence[str], seen: list[tuple[str, Answer]]) -> None:
        """Ask again and again until cancelled, and keep what was answered at places not seen before."""
        while True:
            for kind in kinds:
                answer = await self.ask(kind)
                if answer and (kind, answer.offsets) not in [(known, one.offsets) for known, one in seen[-8:]]:
                    seen.append((kind, answer))
                await asyncio.sleep(0.05)


@asynccontextmanager
async def sales_world(settings: Settings, codec: Codec) -> AsyncIterator[SalesWorld]:
    """A world whose queries can be asked while this is entered; `prepare` made it."""
    async with Database(settings.postgres_url) as database:
        stats = Stats(database, Reached(settings.postgres_url, SALES), settings.partitions, settings.stats_wait_s)
        async with stats:
            yield SalesWorld(settings, codec, stats)
