"""The watchdog: looks at the worker from beside it, tells people and tools, and ends a process that is stuck.

Faust can come to stand still without a word (docs/adr/0018-parking.md); a supervisor starts the process again.
"""

import asyncio
import faulthandler
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import psycopg
import structlog
from aiokafka.errors import KafkaError

from eventlog.reader import log_ends
from eventlog.settings import Settings
from projections.metrics import Metrics
from projections.progress import STATES, Bounds, Observation, Progress, Standing
from schemas.topics import ORDER_EVENTS
from service.stopping import stop_at_once

log = structlog.get_logger()

_ANSWER_S = 5.0


class Watchdog:
    """Looks at a worker every few seconds while it `run`s; `standing` is what it saw last.

    `positions` reads the view's positions from where they are kept, `held_up_by` says what the worker waits for,
    `ages` are as in Observation.
    """

    def __init__(
        self,
        settings: Settings,
        app: Any,
        metrics: Metrics,
        positions: Callable[[], Awaitable[Mapping[int, int]]],
        held_up_by: Callable[[], str | None],
        ages: Mapping[int, float],
    ) -> None:
        self._settings = settings
        self._app = app
        self._metrics = metrics
        self._positions = positions
        self._held_up_by = held_up_by
        self._ages = ages
        bounds = Bounds(settings.stuck_after_s, settings.assignment_within_s, settings.slow_after_s)
        self._progress = Progress(bounds)
        self.standing = Standing("assigning", "the worker starts")

    async def run(self) -> None:
        """Look, for ever. Ends the process when the worker is stuck, or this event loop is."""
        try:
            while True:
                # Should something hold up the loop, a thread of the interpreter's prints where it is, and ends it.
                longest_look_s = 2 * _ANSWER_S + self._settings.watch_every_s
                faulthandler.dump_traceback_later(self._settings.stuck_after_s + longest_look_s, exit=True)
                self._take(await self._look())
                await asyncio.sleep(self._settings.watch_every_s)
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _take(self, seen: Observation) -> None:
        before, self.standing = self.standing, self._progress.observe(seen)
        self._tell(seen)
        if self.standing.state == "stuck":
            stop_at_once("projection_stopped", reason=f"stuck: {self.standing.reason}")
        if self.standing.state != before.state:
            log.info("projection_is", state=self.standing.state, reason=self.standing.reason)

    async def _look(self) -> Observation:
        ends, silent = await self._ask("Kafka", self._log_ends)
        positions, waits = await self._ask("Postgres", self._positions)
        return Observation(
            at=time.monotonic(),
            positions=positions,
            ends=ends,
            assigned=self._assigned(),
            assigning=self._is_assigning(),
            recovering=self._app.tables.recovery.in_recovery,
            recovered=sum(offset or 0 for offset in self._app.tables.recovery.active_offsets.values()),
            waiting_for=self._held_up_by() or waits or silent,
            ages=dict(self._ages),
        )

    async def _ask(
        self, whom: str, read: Callable[[], Awaitable[Mapping[int, int]]]
    ) -> tuple[Mapping[int, int], str | None]:
        """What `read` answers, or why there is no answer."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await read(), None
        except (psycopg.Error, KafkaError, OSError, TimeoutError) as error:  # TimeoutError says nothing
            return {}, f"{whom} does not answer: {' '.join(str(error).split()) or type(error).__name__}"

    async def _log_ends(self) -> Mapping[int, int]:
        return await log_ends(self._settings.kafka_bootstrap, self._settings.topic(ORDER_EVENTS.name))

    def _is_assigning(self) -> bool:
        app = self._app
        if not app.started or app.log_flows is None:
            return True
        return app.rebalancing or not app.tables.recovery.completed.is_set() or not app.consumer.flow_active

    def _assigned(self) -> set[int]:
        app = self._app
        if not app.started:
            return set()
        return {tp.partition for tp in app.consumer.assignment() if tp.topic == app.log_topic}

    def _tell(self, seen: Observation) -> None:
        metrics, standing = self._metrics, self.standing
        for state in STATES:
            metrics.state.put(state == standing.state, state=state)
        if seen.waiting_for or seen.assigning:
            return
        for gauge in (metrics.position, metrics.log_end, metrics.lag_events, metrics.lag_seconds):
            gauge.clear()
        for partition in sorted(seen.assigned):
            metrics.position.put(seen.positions.get(partition, 0), partition=partition)
            metrics.log_end.put(seen.ends.get(partition, 0), partition=partition)
            metrics.lag_events.put(standing.lag_events.get(partition, 0), partition=partition)
            metrics.lag_seconds.put(standing.lag_seconds.get(partition, 0.0), partition=partition)
