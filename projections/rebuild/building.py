"""Building a generation: workers of it fold the log from its beginning, it gets its indexes, it is swapped in.

Everything that must survive is in Postgres: the generation and its positions. So whoever holds the lease can go on
where another one was killed. See docs/adr/0023-rebuild.md.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import psycopg
import structlog
from aiokafka.errors import KafkaError
from psycopg import sql

from eventlog import group_admin
from eventlog.reader import log_ends
from eventlog.settings import Settings
from projections.checkpoints import read_positions
from projections.faust_names import group_of
from projections.generations import Generation, create_indexes
from projections.rebuild.records import Lease, Record, tell
from projections.rebuild.standing import Pace, Phase, Standing, standing
from projections.rebuild.swap import NotYet, Swapped, swap
from projections.table_view import TableView
from projections.view import View
from schemas.topics import ORDER_EVENTS

log = structlog.get_logger()

_LOOK_EVERY_S = 0.25
_PATIENCE_S = 10.0
_NEARLY = 1_000  # records behind the log's end at which the swap is tried
_HAND_OVER_S = 30.0
_PASSING = (psycopg.OperationalError, KafkaError, OSError, TimeoutError)

T = TypeVar("T")
Ends = Mapping[int, int] | None
"""{partition: offset} up to which it is made; None for the log's."""
Tell = Callable[[Standing], None]


class Crew(Protocol):
    """The worker processes of a generation that is being built."""

    def start(self, generation: Generation) -> None:
        """Start them."""

    def tend(self) -> None:
        """Start again those that have ended. Raises Explained when that leads nowhere."""

    def stop(self) -> None:
        """Stop them, and wait until they are gone."""


@dataclass(frozen=True, slots=True)
class Built:
    """A generation that is level with the log, or with the ends it was made up to, and what its swap took, if any."""

    generation: Generation
    standing: Standing
    swapped: Swapped | None = None


class Builder:
    """Builds one generation of `view`; `tell_all` hears how far it is. For one process with the `lease`."""

    def __init__(self, settings: Settings, view: View | TableView, lease: Lease, crew: Crew, tell_all: Tell) -> None:
        self._settings = settings
        self._view = view
        self._lease = lease
        self._crew = crew
        self._tell_all = tell_all
        self._pace = Pace()

    async def replace(self, record: Record, *, accept_parked: bool = False) -> Built:
        """Build `record`'s generation and put it in the place of the live one.

        Raises Cancelled when somebody wants it given up; WouldPark; what the crew raises. The generation is then as
        it was, and the same may be called again.
        """
        generation = record.generation
        try:
            self._crew.start(generation)
            await self._until(generation, "events", lambda seen: seen.left <= max(_NEARLY, int(seen.rate)))
            await self._patiently(lambda: self._index(generation))
            swapped = await self._swap(generation, accept_parked)
            await self._hand_over(generation, swapped.old)
        finally:
            await asyncio.to_thread(self._crew.stop)
        return Built(generation, await self._look(generation, "done"), swapped)

    async def stand_aside(self, record: Record) -> Built:
        """Build `record`'s generation up to its ends, for looking at. Raises Cancelled, and what the crew raises."""
        generation = record.generation
        try:
            self._crew.start(generation)
            await self._until(generation, "events", lambda seen: not seen.left, record.ends)
        finally:
            await asyncio.to_thread(self._crew.stop)
        await self._patiently(lambda: self._index(generation, record.ends))
        return Built(generation, await self._look(generation, "done", record.ends))

    async def _until(
        self, generation: Generation, phase: Phase, enough: Callable[[Standing], bool], ends: Ends = None
    ) -> None:
        """Look again and again until it is `enough`."""
        while not enough(await self._patiently(lambda: self._look(generation, phase, ends))):
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` returns, tried again while Postgres or Kafka is away: the workers wait by themselves as well."""
        while True:
            self._crew.tend()
            try:
                return await work()
            except _PASSING as error:
                log.warning("rebuild_waits", reason=" ".join(str(error).split()) or type(error).__name__)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _look(self, generation: Generation, phase: Phase, ends: Ends = None) -> Standing:
        """How far it is, for all to know. Raises Cancelled."""
        async with asyncio.timeout(_PATIENCE_S):
            connection = await self._lease.connection()
            topic = self._settings.topic(ORDER_EVENTS.name)
            ends = ends if ends is not None else await log_ends(self._settings.kafka_bootstrap, topic)
            positions = await read_positions(connection, generation)
            done = sum(min(positions.get(partition, 0), end) for partition, end in ends.items())
            rate = self._pace.rate(time.monotonic(), done)
            seen = standing(generation.projection, generation.number, phase, positions, ends, rate)
            await tell(connection, seen)
        self._tell_all(seen)
        return seen

    async def _index(self, generation: Generation, ends: Ends = None) -> None:
        """Make the indexes that reading wants, and have Postgres know what is in the tables."""
        await self._look(generation, "indexes", ends)
        connection = await self._lease.connection()
        async with connection.transaction():
            await connection.execute("SET LOCAL maintenance_work_mem = '128MB'")
            await create_indexes(connection, self._view, generation)
        for table in self._view.metadata.sorted_tables:
            await connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(generation.schema, table.name)))

    async def _swap(self, generation: Generation, accept_parked: bool) -> Swapped:
        while True:
            await self._until(generation, "swap", lambda seen: seen.left <= _NEARLY)
            try:
                connection = await self._lease.connection()
                return await swap(connection, self._view, generation, accept_parked=accept_parked)
            except (NotYet, psycopg.OperationalError) as error:
                log.info("swap_tried_again", reason=str(error))

    async def _hand_over(self, generation: Generation, old: Generation | None) -> None:
        """Keep the new generation going until the service's workers have left the old one for it."""
        if old is None:
            return
        deadline, group = time.monotonic() + _HAND_OVER_S, group_of(self._settings, old)
        while time.monotonic() < deadline:
            await self._patiently(lambda: self._look(generation, "hand-over"))
            if await self._patiently(lambda: group_admin.is_empty(self._settings, group)):
                return
            await asyncio.sleep(_LOOK_EVERY_S)
