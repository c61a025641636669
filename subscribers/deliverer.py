"""The loop that carries out what stands in a subscriber's outbox, as it falls due, some of it at once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import psycopg
import structlog

from eventlog.settings import Settings
from service.database import Database
from service.stopping import stop_at_once
from service.verdicts import Retry, judge_postgres
from subscribers import outbox
from subscribers.metrics import Metrics
from subscribers.outbox import Later, Perform, Settled, Task, Unavailable
from subscribers.subscription import Effects, Subscription
from subscribers.traced import traced

log = structlog.get_logger()
UnderWay = set[asyncio.Task[Settled]]

_LEASE_S = 60.0  # longer than anything here takes: SMTP and HTTP calls give up after 30 s
_FINISH_S = 8.0  # of the ten seconds that a process has to stop (local_stack/process.py)
_LOOK_EVERY_S = 1.0
_MOST_PAUSE_S = 5.0


class Deliverer:
    """Carries out a subscriber's tasks. `waiting_for` says what all of them are held up by, None when nothing does.

    `who` is this process's name, and the same when it starts again.
    """

    def __init__(
        self, settings: Settings, subscription: Subscription, effects: Effects, metrics: Metrics, who: str
    ) -> None:
        self._name = subscription.name
        self._effects = effects
        self._attempts = effects.attempts(settings)
        self._settings = settings
        self._metrics = metrics
        self._who = who
        self._database = Database(settings.postgres_url)
        self._put = asyncio.Event()
        self._failures = 0
        self.waiting_for: str | None = None

    def wake(self) -> None:
        """Tasks may have been put."""
        self._put.set()

    async def run(self) -> None:
        """Run until cancelled; what is under way then is let end first, so that what was done is noted as done.

        What cannot be waited out ends the process.
        """
        under_way: UnderWay = set()
        try:
            async with self._effects.open(self._settings) as opened:
                perform = traced(opened, self._effects.what)
                try:
                    await self._until_postgres(self._release)
                    while True:
                        self._put.clear()
                        await self._until_postgres(lambda: self._begin(perform, under_way))
                        await self._end_some(under_way)
                except asyncio.CancelledError:
                    await asyncio.wait_for(self._end_all(under_way), _FINISH_S)
                    raise
        except Exception as error:
            stop_at_once("subscriber_stopped", reason="its outbox cannot be worked on", exc_info=error)
        finally:
            await self._database.close()

    async def _release(self) -> None:
        async with self._database.connection() as connection:
            await outbox.release(connection, self._name, self._who)

    async def _begin(self, perform: Perform, under_way: UnderWay) -> None:
        """Begin what is due, as far as there is room."""
        if room := self._effects.at_once - len(under_way):
            async with self._database.connection() as connection:
                tasks = await outbox.claim(connection, self._name, self._who, room, _LEASE_S)
            under_way |= {asyncio.create_task(self._attempt(perform, task)) for task in tasks}

    async def _attempt(self, perform: Perform, task: Task) -> Settled:
        try:
            outcome = await perform(task)
        except Exception as error:
            log.exception("task_raised", task=task.id)
            outcome = Later(f"{type(error).__name__}: {error}")
        return Settled(task, outcome, self._attempts)

    async def _end_some(self, under_way: UnderWay) -> None:
        """Wait until something has ended, or more may be begun; note what has ended."""
        if len(under_way) == self._effects.at_once:
            await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        else:
            timeout_s = _LOOK_EVERY_S if under_way else await self._due_in_s()
            putting = asyncio.ensure_future(self._put.wait())
            await asyncio.wait({*under_way, putting}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            putting.cancel()
        await self._note(under_way, {task for task in under_way if task.done()})

    async def _end_all(self, under_way: UnderWay) -> None:
        if under_way:
            await asyncio.wait(under_way)
            await self._note(under_way, set(under_way))

    async def _note(self, under_way: UnderWay, ended: UnderWay) -> None:
        """Note what has `ended`; then pause, if nothing can be done now."""
        settled = [task.result() for task in ended]
        if not settled:
            return

        async def note() -> None:
            async with self._database.connection() as connection:
                await outbox.settle(connection, self._name, settled)

        await self._until_postgres(note)
        under_way -= ended
        self._count(settled)
        reason = next((one.outcome.reason for one in settled if isinstance(one.outcome, Unavailable)), None)
        if reason is None:
            self._goes_on()
        else:
            await self._wait(reason)

    def _count(self, settled: Sequence[Settled]) -> None:
        for one in settled:
            self._metrics.tasks.add(outcome=one.how)
            about = {"task": one.task.id, "order_id": str(one.task.order_id), "reason": one.outcome.reason}
            if one.state == "dead":
                log.error("task_is_dead", **about)
            elif isinstance(one.outcome, Later):
                log.warning("task_failed", **about, failed=one.failed)

    async def _until_postgres(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work` once Postgres lets it be done. Raises what does not pass."""
        while True:
            try:
                await work()
            except psycopg.Error as error:
                verdict = judge_postgres(error)
                if not isinstance(verdict, Retry):
                    raise
                await self._wait(verdict.reason)
            else:
                return

    async def _wait(self, reason: str) -> None:
        if self.waiting_for != reason:
            log.warning("outbox_waits", reason=reason)
        self.waiting_for = reason
        await asyncio.sleep(pause_s(self._failures))
        self._failures += 1

    def _goes_on(self) -> None:
        if self.waiting_for:
            log.info("outbox_goes_on")
        self.waiting_for, self._failures = None, 0

    async def _due_in_s(self) -> float:
        """Until something is due, but no longer than another process may take to put something."""
        try:
            async with self._database.connection() as connection:
                due_s = await outbox.next_due_s(connection, self._name)
        except psycopg.OperationalError:
            return _LOOK_EVERY_S
        self._goes_on()
        return _LOOK_EVERY_S if due_s is None else min(max(due_s, 0.01), _LOOK_EVERY_S)


def pause_s(failures: int) -> float:
    """How long nothing is tried after so many failures in a row before this one: 0.1 s, 0.2 s, … at most 5 s."""
    return min(0.1 * 2.0 ** min(failures, 10), _MOST_PAUSE_S)  # an outage of hours has failures without end
