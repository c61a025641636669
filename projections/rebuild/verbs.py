"""What can be asked for: rebuild a view, take the last one back, make one of the past, give a rebuild up."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from psycopg.errors import UndefinedTable

from eventlog.identity import read_identity
from eventlog.settings import Settings
from projections.generations import Generation
from projections.log_identity import require_log
from projections.rebuild import records
from projections.rebuild.building import Builder, Built, Crew, Tell
from projections.rebuild.cleaning import drop, drop_old, forget_changelog
from projections.rebuild.records import AlreadyRebuilding, Cancelled, Lease, Record
from projections.table_view import AnyView
from schemas.errors import BadInput, Explained
from schemas.topics import ORDER_EVENTS
from service.database import Connection, connect

_GIVEN_UP_WITHIN_S = 60.0
_EVERY_S = 0.2


class Rebuilds:
    """The rebuilds of one view. `crew` are the workers it may use, `tell` hears how far it is."""

    def __init__(self, settings: Settings, view: AnyView, crew: Crew, tell: Tell) -> None:
        self._settings = settings
        self._view = view
        self._crew = crew
        self._tell = tell

    async def rebuild(self, *, accept_parked: bool = False) -> Built:
        """Make the view anew and put it in the place of the live one, or go on where that was interrupted.

        Raises AlreadyRebuilding, Cancelled, WouldPark, WrongLog, and what the crew raises.
        """
        async with self._alone() as (lease, connection):
            await drop_old(self._settings, connection, self._view)
            record = await self._unfinished(connection) or await self._begun(connection)
            await records.take_up(connection, record.generation)
            try:
                built = await self._builder(lease).replace(record, accept_parked=accept_parked)
            except Cancelled:
                await drop(self._settings, await lease.connection(), self._view, record)
                raise
            await drop_old(self._settings, await lease.connection(), self._view)
            return built

    async def take_back(self, *, accept_parked: bool = False) -> Built:
        """Put the generation that was replaced last in the place of the live one, once it is level with the log.

        Raises as `rebuild` does, and BadInput when there is none, or none of this code's version.
        """
        async with self._alone() as (lease, connection):
            record = await self._replaced(connection)
            await records.set_state(connection, record.generation, "building")
            await records.take_up(connection, record.generation)
            try:
                return await self._builder(lease).replace(record, accept_parked=accept_parked)
            except Exception:
                await records.set_state(await lease.connection(), record.generation, "retired")
                raise

    async def look_at(self, ends: Mapping[int, int]) -> Built:
        """Make the view as it was at `ends`, {partition: next offset}, in a schema beside. Raises as `rebuild` does."""
        async with self._alone() as (lease, connection):
            async with connection.transaction():
                generation = await records.create(connection, self._view, "aside", ends)
            record = await records.of(connection, generation)
            try:
                return await self._builder(lease).stand_aside(record)
            except BaseException:  # given up with Ctrl-C as well: half of the past is of use to nobody
                await asyncio.shield(drop(self._settings, await lease.connection(), self._view, record))
                raise

    def _builder(self, lease: Lease) -> Builder:
        return Builder(self._settings, self._view, lease, self._crew, self._tell)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[tuple[Lease, Connection]]:
        identity = await read_identity(self._settings.kafka_bootstrap, self._settings.topic(ORDER_EVENTS.name))
        try:
            async with Lease(self._settings.postgres_url, self._view.name) as lease:
                connection = await lease.connection()
                await require_log(connection, identity)
                yield lease, connection
        except UndefinedTable as error:
            raise Explained("the database lacks tables of orderlog; run: orderlog migrate") from error

    async def _unfinished(self, connection: Connection) -> Record | None:
        """The rebuild that was interrupted, if it is still of use."""
        found = await records.newest(connection, self._view.name, "building")
        if found and (found.cancelled or found.version != self._view.version):
            await drop(self._settings, connection, self._view, found)
            return None
        return found

    async def _begun(self, connection: Connection) -> Record:
        async with connection.transaction():
            generation = await records.create(connection, self._view, "building")
            # In Kafka the number may have been another's, of a database that was lost.
            await forget_changelog(self._settings, connection, self._view, generation, self._view.version)
        return await records.of(connection, generation)

    async def _replaced(self, connection: Connection) -> Record:
        name = self._view.name
        if await records.newest(connection, name, "building"):
            raise BadInput(f"a rebuild of {name} was begun: finish it with orderlog rebuild {name}, or --cancel it")
        record = await records.newest(connection, name, "retired")
        if record is None:
            raise BadInput(f"there is no earlier generation of {name} any more, or none yet")
        if record.version != self._view.version:
            raise BadInput(
                f"the earlier generation of {name} was made by version {record.version} of its code, this is "
                f"{self._view.version}: roll back with that code"
            )
        return record


async def give_up(settings: Settings, view: AnyView) -> Generation:
    """Have the rebuild of `view` given up, and return once nothing is left of it. Raises BadInput, Explained."""
    async with await connect(settings.postgres_url) as connection:
        record = await records.ask_to_cancel(connection, view.name)
    deadline = asyncio.get_running_loop().time() + _GIVEN_UP_WITHIN_S
    while asyncio.get_running_loop().time() < deadline:
        try:
            async with Lease(settings.postgres_url, view.name) as lease:
                connection = await lease.connection()
                if left := await records.newest(connection, view.name, "building"):
                    await drop(settings, connection, view, left)
                return record.generation
        except AlreadyRebuilding:
            await asyncio.sleep(_EVERY_S)
    raise Explained(f"{record.builder} has not given the rebuild up within {_GIVEN_UP_WITHIN_S:g} s")


async def watch(settings: Settings, view: AnyView, tell: Tell) -> Record:
    """Tell how far the rebuild of `view` is until it has ended; its record then. Raises BadInput when there is none."""
    async with await connect(settings.postgres_url) as connection:
        record = await records.newest(connection, view.name, "building")
        if record is None:
            raise BadInput(f"nothing rebuilds {view.name}")
        while True:
            if record.standing:
                tell(record.standing)
            await asyncio.sleep(_EVERY_S)
            now = await records.find(connection, record.generation)
            if now is None or now.state != "building":
                return now or record
            if await records.is_free(connection, view.name):
                raise Explained(f"nobody is at it any more; go on with: orderlog rebuild {view.name}")
            record = now


async def until_begun(settings: Settings, view: AnyView, process: int, runs: Callable[[], bool]) -> str | None:
    """Who builds, once that is the process of this id; None when it ended before."""
    async with await connect(settings.postgres_url) as connection:
        while runs():
            record = await records.newest(connection, view.name, "building")
            if record and record.builder == records.builder_name(process):
                return record.builder
            await asyncio.sleep(_EVERY_S)
    return None


async def drop_aside(settings: Settings, view: AnyView) -> list[Generation]:
    """Remove what `look_at` has made of `view`; which that was. Raises AlreadyRebuilding."""
    async with Lease(settings.postgres_url, view.name) as lease:
        connection = await lease.connection()
        aside = [one for one in await records.records(connection, view.name) if one.state == "aside"]
        for record in aside:
            await drop(settings, connection, view, record)
    return [record.generation for record in aside]
