"""Whether the generation that a worker keeps is still the one to be kept; and its share of cleaning up.

A swap is noticed here, by looking: the worker then ends in good order and begins again in the live generation.
"""

import asyncio
import time
from pathlib import Path

import structlog
from aiokafka.errors import KafkaError
from psycopg import Error

from eventlog.settings import Settings
from projections.faust_names import building_folders
from projections.generations import Generation
from projections.inheritance import left_by_builders
from projections.metrics import Metrics
from projections.rebuild import records
from projections.rebuild.cleaning import clean
from projections.rebuild.records import Record
from projections.table_view import AnyView
from service.database import Connection, Database, connect

log = structlog.get_logger()

_LOOK_EVERY_S = 0.5
_CLEAN_EVERY_S = 60.0


class Succession:
    """Looks while it is `run`; `over` is set once `generation` is not the worker's any more."""

    def __init__(
        self, settings: Settings, view: AnyView, generation: Generation, metrics: Metrics, folder: Path
    ) -> None:
        self.over = asyncio.Event()
        self._settings = settings
        self._view = view
        self._generation = generation
        self._metrics = metrics
        self._folder = folder
        self._cleaned_at = 0.0
        self._database = Database(settings.postgres_url)

    async def take_over(self) -> None:
        """Say that this worker is about to keep its generation, and wait until those who built it here have left.

        They serve it until then, so this is to be called when all else is done. Raises psycopg.OperationalError.
        """
        async with self._database.connection() as connection:
            await records.stand_ready(connection, self._generation)
        await left_by_builders(building_folders(self._settings, self._generation))

    async def run(self) -> None:
        """Look, for ever. That Postgres is away shows nothing."""
        try:
            while not self.over.is_set():
                try:
                    async with self._database.connection() as connection:
                        await self._look(connection)
                except (Error, KafkaError, OSError) as error:
                    log.debug("generation_not_looked_at", reason=str(error))
                await asyncio.sleep(_LOOK_EVERY_S)
        finally:
            await self._database.close()

    async def _look(self, connection: Connection) -> None:
        found = await records.records(connection, self._view.name)
        ours = next((one for one in found if one.generation == self._generation), None)
        if ours is None or ours.state == "retired":
            log.info("generation_was_replaced", generation=self._generation.number)
            self.over.set()
        if ours and ours.state == "live":
            self._tell(next((one for one in found if one.state == "building"), None))
            if time.monotonic() - self._cleaned_at > _CLEAN_EVERY_S:
                self._cleaned_at = time.monotonic()
                # On a connection of its own, with which its lock on rebuilds is given up.
                async with await connect(self._settings.postgres_url) as own:
                    await clean(self._settings, own, self._view, self._folder)

    def _tell(self, building: Record | None) -> None:
        standing = building.standing if building else None
        for gauge in (self._metrics.rebuild_records, self._metrics.rebuild_log_end):
            gauge.clear()
        if building and standing:
            self._metrics.rebuild_records.put(standing.done, building=building.generation.number)
            self._metrics.rebuild_log_end.put(standing.total, building=building.generation.number)
