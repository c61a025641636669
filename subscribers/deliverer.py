"""The loop that carries out what stands in a subscriber's outbox, as it falls due, some of it at once."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import TypeVar

import psycopg
import structlog

from eventlog.settings import Settings
from service.database import Connection, Database
from service.stopping import stop_at_once
from service.verdicts import Retry, judge_postgres
from subscribers import outbox
from subscribers.metrics import Metrics
from subscribers.outbox import Later, Outcome, Perform, Task, Unavailable
from subscribers.subscription import Effects, Subscription

log = structlog.get_logger()
T = TypeVar("T")

_LEASE_S = 60.0  # longer than anything here takes: SMTP and HTTP calls give up after 30 s
_FINISH_S = 8.0  # of the ten seconds that a process has to stop (local_stack/process.py)
_LOOK_EVERY_S = 1.0
_MOST_PAUSE_S = 5.0


class Deliverer:
    """Carries out a subscriber's tasks. `waiting_for` says what all of them are held up by, None when nothing does."""

    def __init__(self, settings: Settings, subscription: Subscription, effects: Effects, metrics: Metrics) -> None:
        self._settings = settings
        self._name = subscription.name
        self._effects = effects
        self._metrics = metrics
        self._database = Database(settings.postgres_url)
        self._put = asyncio.Event()
        self._failures = 0
        self.waiting_for: str | None = None

    def wake(self) -> None:
        """Tasks may have been put."""
        self._put.set()

    async def run(self) -> None:
        """Run until cancelled. What cannot be waited out ends the process."""
        try:
            async with self._effects.open(self._settings) as perform:
                while True:
                    self._put.clear()
                    if outcomes := await _to_its_end(self._some(perform)):
                        await self._went(outcomes)
                        continue
                    pause_s = await self._pause()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._put.wait(), pause_s)
        except Exception as error:
            stop_at_once("subscriber_stopped", reason="its outbox cannot be worked on", exc_info=error)
        finally:
            await self._database.close()

    async def _some(self, perform: Perform) -> list[Outcome]:
        """Carry out what is due, some of it; how it went."""
        try:
            async with self._database.connection() as connection:
                tasks = await outbox.claim(connection, self._name, self._effects.at_once, _LEASE_S)
                outcomes = await asyncio.gather(*(_outcome(perform, task) for task in tasks))
                for task, outcome in zip(tasks, outcomes, strict=True):
                    await self._settle(connection, task, outcome)
        except psycopg.Error as error:
            verdict = judge_postgres(error)
            if not isinstance(verdict, Retry):
                raise
            return [Unavailable(verdict.reason)]
        return outcomes

    async def _settle(self, connection: Connection, task: Task, outcome: Outcome) -> None:
        state = await outbox.settle(connection, self._name, task, outcome, self._effects.attempts(self._settings))
        self._metrics.add(self._metrics.tasks, outcome=type(outcome).__name__.lower())
        if state == "dead":
            log.error("task_is_dead", task=task.id, order_id=str(task.order_id), reason=outcome.reason)
        elif isinstance(outcome, Later):
            log.warning("task_failed", task=task.id, reason=outcome.reason, failed=task.attempts + 1)

    async def _went(self, outcomes: list[Outcome]) -> None:
        """Note how it went, and pause when nothing can be done now."""
        reason = next((one.reason for one in outcomes if isinstance(one, Unavailable)), None)
        if reason is None:
            if self.waiting_for:
                log.info("outbox_goes_on")
            self.waiting_for, self._failures = None, 0
            return
        if self.waiting_for != reason:
            log.warning("outbox_waits", reason=reason)
        self.waiting_for = reason
        await asyncio.sleep(pause_s(self._failures))
        self._failures += 1

    async def _pause(self) -> float:
        """Until something is due, but no longer than another process may take to put something."""
        try:
            async with self._database.connection() as connection:
                due_s = await outbox.next_due_s(connection, self._name)
        except psycopg.OperationalError:
            return _LOOK_EVERY_S
        return _LOOK_EVERY_S if due_s is None else min(max(due_s, 0.01), _LOOK_EVERY_S)


def pause_s(failures: int) -> float:
    """How long nothing is tried after so many failures in a row before this one: 0.1 s, 0.2 s, … at most 5 s."""
    return min(0.1 * 2.0 ** min(failures, 10), _MOST_PAUSE_S)  # an outage of hours has failures without end


async def _to_its_end(work: Coroutine[None, None, T]) -> T:
    """What `work` returns. Who is cancelled meanwhile lets it end first, so that what was done is noted as done."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=_FINISH_S)
        task.cancel()
        raise


async def _outcome(perform: Perform, task: Task) -> Outcome:
    try:
        return await perform(task)
    except Exception as error:
        log.exception("task_raised", task=task.id)
        return Later(f"{type(error).__name__}: {error}")
