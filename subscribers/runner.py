"""The loop that every subscriber shares: fetch, take in, publish, commit; over again, and nothing lost or done twice.

Killed anywhere, it begins again at the last commit: what the database has by then is recognized (inbox.py) and its
answers are published again, in the transaction that could not be committed before. See docs/adr/0027-subscribers.md.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential_jitter

from eventlog.messages import Message, message_headers
from eventlog.partitioning import order_key
from eventlog.settings import Settings
from schemas.public_codec import PublicCodec
from service.database import Connection, Database
from service.schema_lookup import SchemaLookup
from service.stopping import stop_at_once
from service.tracing import Hops
from service.verdicts import Retry
from subscribers import inbox, outbox, parking
from subscribers.dead_letters import notice
from subscribers.deliveries import open_delivery
from subscribers.failures import is_passing, judge
from subscribers.feed import Feed, FeedBroken, FeedHung, Fetched, Outgoing, Undone
from subscribers.metrics import Metrics
from subscribers.subscription import Subscription
from subscribers.taking import Batch, first, take
from subscribers.traced import Taking

log = structlog.get_logger()
T = TypeVar("T")

_BACK_OFF = wait_exponential_jitter(multiplier=0.1, max=5, jitter=0.1)
_LOOK_EVERY_S = 2.0
_REOPEN_S = 1.0
_UNASSIGNED = "the consumer group has not given it partitions yet"
_UNPUBLISHED_AT_ONCE = 100
_PRUNED_AT_ONCE = 1_000


class Runner:
    """Runs one subscriber.

    `open_feed` makes a feed that reports to what it is given: at the start, and again when one broke. `on_taken` is
    called after messages were taken in.
    """

    def __init__(
        self,
        settings: Settings,
        subscription: Subscription,
        codec: PublicCodec,
        schemas: SchemaLookup,
        open_feed: Callable[[Callable[[str], None]], Feed],
        metrics: Metrics,
        on_taken: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._subscription = subscription
        self._codec = codec
        self._schemas = schemas
        self._open_feed = open_feed
        self._metrics = metrics
        self._on_taken = on_taken
        self._database = Database(settings.postgres_url)
        self._looked = -math.inf
        self._waiting_for: str | None = _UNASSIGNED
        self._feed: Feed | None = None

    @property
    def waiting_for(self) -> str | None:
        """What it is held up by; None when nothing holds it up."""
        return "Kafka: the broker does not answer" if self._feed and self._feed.silent else self._waiting_for

    @property
    def assigned(self) -> int:
        """How many partitions it has."""
        return len(self._feed.assigned) if self._feed else 0

    async def run(self) -> None:
        """Run until cancelled. A broken feed is opened anew; what cannot be waited out ends the process."""
        try:
            while True:
                try:
                    async with self._open_feed(self._troubled) as feed:
                        log.info("subscriber_reads", topics=[topic.name for topic in self._subscription.topics])
                        self._feed, self._looked = feed, -math.inf
                        while True:
                            await self._once(feed)
                except FeedBroken as broken:
                    self._feed = None
                    self._troubled(str(broken))
                    await asyncio.sleep(_REOPEN_S)
        except FeedHung as hung:
            stop_at_once("subscriber_stopped", reason=str(hung))
        except Exception as error:
            stop_at_once("subscriber_stopped", reason="what it took in cannot be answered", exc_info=error)
        finally:
            await self._database.close()

    async def _once(self, feed: Feed) -> None:
        if time.monotonic() - self._looked > _LOOK_EVERY_S:
            await self._look(feed)
        fetched = await feed.fetch(self._settings.subscriber_batch)
        if not fetched.deliveries:
            return
        fetched, batch = await self._take(feed, fetched)
        self._count(batch)
        outgoing = [notice(self._subscription, one) for one in batch.parked]
        sends = Hops("send")
        outgoing += [self._outgoing(answer) for answer in sends.carried(batch.answers)]
        with suppress(Undone):
            await feed.commit(fetched, outgoing)
            sends.end()
            self._metrics.published.add(len(batch.answers))

    async def _take(self, feed: Feed, fetched: Fetched) -> tuple[Fetched, Batch]:
        """Take in what is still ours of `fetched`, for as long as it takes."""
        ours = fetched
        taking = Taking(self._settings.topic_prefix + self._subscription.name)

        async def attempt() -> Batch:
            nonlocal ours
            opened = taking.begin([open_delivery(self._codec, delivery) for delivery in ours.deliveries])
            async with self._database.connection() as connection:
                return await take(connection, self._subscription, opened, self._settings)

        async def with_schemas() -> Batch:
            return await self._schemas.around(attempt)

        async def between() -> None:
            nonlocal ours
            ours = ours.only(await feed.keep_alive())

        batch = await self._persistently(with_schemas, between)
        self._goes_on()
        taking.end(batch.parked)
        return ours, batch

    async def _persistently(self, work: Callable[[], Awaitable[T]], between: Callable[[], Awaitable[object]]) -> T:
        """What `work` returns, tried until it does; ends the process when it never will."""

        async def wait(state: RetryCallState) -> None:
            assert state.outcome is not None  # tenacity calls this between attempts
            error = state.outcome.exception()
            assert isinstance(error, Exception)
            verdict = judge(error)
            assert isinstance(verdict, Retry)  # nothing else is tried again
            self._waits(verdict.reason, verdict.cause)
            await between()

        try:
            done: T = await AsyncRetrying(retry=retry_if_exception(is_passing), wait=_BACK_OFF, before_sleep=wait)(work)
        except FeedBroken:
            raise
        except Exception as error:
            stop_at_once("subscriber_stopped", reason=judge(error).reason, exc_info=error)
        return done

    async def _look(self, feed: Feed) -> None:
        """What is done now and then: lag, room in the outbox, answers of redrives, what may be forgotten."""

        async def attempt() -> bool:
            async with self._database.connection() as connection:
                await self._publish_redriven(connection, feed)
                await inbox.prune(connection, self._subscription.name, self._settings.inbox_keep_s, _PRUNED_AT_ONCE)
                await outbox.prune(connection, self._subscription.name, self._settings.inbox_keep_s, _PRUNED_AT_ONCE)
                self._metrics.held.put(await parking.count_held(connection, self._subscription.name))
                most = self._settings.max_tasks_due
                due = await outbox.count_due(connection, self._subscription.name, most)
                self._metrics.due.put(due)
                return due < most

        while not await self._persistently(attempt, feed.keep_alive):
            self._waits("its outbox is full: what it has to do to the outside is not done", "outbox")
            await feed.keep_alive()
            await asyncio.sleep(1)
        if feed.assigned:
            self._goes_on()
        else:
            self._waiting_for = _UNASSIGNED
        for (topic, partition), lag in (await feed.lag()).items():
            self._metrics.lag.put(lag, topic=topic, partition=partition)
        self._looked = time.monotonic()

    async def _publish_redriven(self, connection: Connection, feed: Feed) -> None:
        name = self._subscription.name
        async with connection.transaction():
            answers = await inbox.unpublished(connection, name, _UNPUBLISHED_AT_ONCE)
            if answers:
                sends = Hops("send")
                await feed.write([self._outgoing(answer) for answer in sends.carried(answers.values())])
                await inbox.note_published(connection, name, list(answers))
                sends.end()

    def _outgoing(self, answer: Message) -> Outgoing:
        headers = message_headers(answer, self._subscription.name)
        return Outgoing(answer.topic, order_key(answer.event.order_id), self._codec.encode(answer.event), headers)

    def _count(self, batch: Batch) -> None:
        metrics = self._metrics
        metrics.batches.add()
        metrics.taken.add(batch.taken)
        metrics.repeated.add(batch.repeated)
        metrics.parked.add(len(batch.parked))
        if batch.parked:
            log.error("messages_parked", count=len(batch.parked), reason=first(batch.parked))
        self._on_taken()

    def _troubled(self, reason: str) -> None:
        self._waits(reason, "kafka")

    def _goes_on(self) -> None:
        if self._waiting_for:
            log.info("subscriber_goes_on")
        self._waiting_for = None

    def _waits(self, reason: str, cause: str) -> None:
        if reason != self._waiting_for:
            log.warning("subscriber_waits", reason=reason)
        self._waiting_for = reason
        self._metrics.retries.add(cause=cause)
