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
from projections.rebuild.records import Lease, Record, is_awaited, newest, tell
from projections.rebuild.standing import Pace, Phase, Standing, standing
from projections.rebuild.swap import NotYet, Swapped, swap
from projections.table_view import AnyView, TableView
from schemas.topics import ORDER_EVENTS
from service.database import Connection

log = structlog.get_logger()

_LOOK_EVERY_S = 0.25
_PATIENCE_S = 10.0
_NEARLY = 100  # records behind the log's end, or those of a second, at which the swap is tried
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

    def __init__(self, settings: Settings, view: AnyView, lease: Lease, crew: Crew, tell_all: Tell) -> None:
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
            await self._patiently(lambda: self._forget_routes(generation))
            self._crew.start(generation)
            await self._until(generation, "events", _is_nearly_level)
            await self._patiently(lambda: self._index(generation))
            served = await self._is_served(generation.projection)
            swapped = await self._swap(generation, accept_parked)
            if served:
                await self._hand_over(generation)
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
        await create_indexes(connection, self._view, generation)
        for table in self._view.metadata.sorted_tables:
            await connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(generation.schema, table.name)))

    async def _swap(self, generation: Generation, accept_parked: bool) -> Swapped:
        while True:
            await self._until(generation, "swap", _is_nearly_level)
            try:
                connection = await self._lease.connection()
                await self._require_routes(connection, generation)
                return await swap(connection, self._view, generation, accept_parked=accept_parked)
            except (NotYet, psycopg.OperationalError) as error:
                log.info("swap_tried_again", reason=str(error))

    async def _forget_routes(self, generation: Generation) -> None:
        """Forget who served a table when it was live before; who builds it says so anew."""
        if isinstance(self._view, TableView):
            routing = sql.Identifier(generation.schema, self._view.routing.name)
            await (await self._lease.connection()).execute(sql.SQL("DELETE FROM {}").format(routing))

    async def _require_routes(self, connection: Connection, generation: Generation) -> None:
        """Raise NotYet while a partition of a table is served by nobody."""
        if isinstance(self._view, TableView):
            routing = sql.Identifier(generation.schema, self._view.routing.name)
            row = await (await connection.execute(sql.SQL("SELECT count(*) FROM {}").format(routing))).fetchone()
            if row is None or row[0] < self._settings.partitions:
                raise NotYet("some partition of the table is not served yet")

    async def _is_served(self, projection: str) -> bool:
        """Whether workers of the service keep the live generation, who are to keep the new one."""
        live = await newest(await self._lease.connection(), projection, "live")
        if live is None:
            return False
        group = group_of(self._settings, live.generation)
        return not await self._patiently(lambda: group_admin.is_empty(self._settings, group))

    async def _hand_over(self, generation: Generation) -> None:
        """Keep the new generation going until a worker of the service stands ready to, half a minute at most."""
        deadline = time.monotonic() + _HAND_OVER_S
        while time.monotonic() < deadline:
            await self._patiently(lambda: self._look(generation, "hand-over"))
            if await is_awaited(await self._lease.connection(), generation):
                return
            await asyncio.sleep(_LOOK_EVERY_S)


def _is_nearly_level(seen: Standing) -> bool:
    """So that a swap, which holds live workers up until it is level, need not wait for long."""
    return seen.left <= max(_NEARLY, seen.rate) and (seen.done > 0 or seen.total == 0)
