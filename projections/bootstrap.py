"""The projections' composition root: the only place where a worker's parts are put together."""

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from psycopg import OperationalError
from psycopg.errors import UndefinedTable
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from eventlog import topic_admin
from eventlog.identity import LogIdentity, read_identity
from eventlog.settings import Settings
from projections.catalogue import VIEWS
from projections.database import connect
from projections.generations import Generation, live_generation
from projections.health import serve_health
from projections.log_identity import require_log
from projections.metrics import Metrics
from projections.parking import count_held
from projections.parking_notices import Notices
from projections.parking_pages import ParkedPages
from projections.schema_lookup import SchemaLookup
from projections.stopping import stop_at_once
from projections.transport import ProjectionApp
from projections.view import View
from projections.watchdog import Watchdog
from projections.worker import ViewWorker
from schemas.errors import BadInput, Explained
from schemas.publish import load_codec
from schemas.registry import Registry
from schemas.topics import ORDER_EVENTS, ORDER_EVENTS_DLQ
from service import logs
from service.sockets import listen

log = structlog.get_logger()

_STOP_TIMEOUT_S = 20.0
_LOOKUP_PATIENCE_S = 1.0  # a schema that cannot be had now is asked for again with the batch that needs it
# Faust's services log under the module of their class, which for those derived here is ours.
_CHATTY = ("projections.transport", "projections.health", "httpx")


class UnknownProjection(BadInput):
    """No view of the catalogue has this name."""


class NotPrepared(Explained):
    """Something that is made once for the whole system is missing; the message says what to run."""


def run(projection: str, settings: Settings) -> None:
    """Keep the view `projection` up to date until SIGTERM or SIGINT.

    Raises UnknownProjection, NotPrepared, TopicMissing, TopicMismatch, NotRegistered, WrongLog, NeedsRebuild;
    OSError when its port is taken; KafkaError, RegistryUnavailable or psycopg.OperationalError when that part does
    not answer.
    Later failures that are not waited out end the process with status 1.
    """
    if projection not in VIEWS:
        raise UnknownProjection(f"there is no projection {projection!r}; there is: {', '.join(VIEWS)}")
    logs.configure(settings, f"projection-{projection}")
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    with listen(settings.worker_host, settings.worker_port) as listener:
        asyncio.run(_run(VIEWS[projection], settings, listener))


async def _run(view: View, settings: Settings, listener: socket.socket) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    starting = asyncio.create_task(build_app(view, settings, listener))
    await asyncio.wait([starting, asyncio.create_task(stopping.wait())], return_when=asyncio.FIRST_COMPLETED)
    if stopping.is_set():
        starting.cancel()
        return
    await _follow_until(stopping, await starting, listener)


async def build_app(view: View, settings: Settings, listener: socket.socket) -> ProjectionApp:
    """The Faust app that keeps `view` up to date, ready to be started. Raises as `run` does."""
    topic = settings.topic(ORDER_EVENTS.name)
    identity = await _identity(settings, topic)
    schemas = SchemaLookup(Registry(settings.registry_url, _LOOKUP_PATIENCE_S).schema)
    codec = await asyncio.to_thread(load_codec, settings.registry_url, settings.topic_prefix, lookup=schemas)
    generation = await _live_generation(settings, view, identity)
    metrics = Metrics(generation)
    dlq = settings.topic(ORDER_EVENTS_DLQ.name)
    notices = Notices(settings.postgres_url, settings.kafka_bootstrap, dlq, view.name)
    worker = ViewWorker(settings, codec, schemas, view, generation, metrics, notices.hurry)
    app_id = f"{settings.topic_prefix}projection-{view.name}"
    app = ProjectionApp(app_id, topic, worker.read_starts, **_options(settings, generation))
    app.agent(app.topic(topic, key_serializer="raw", value_serializer="raw"), concurrency=1)(worker.follow)
    watchdog = Watchdog(settings, app, metrics, worker.positions, lambda: worker.waiting_for, worker.ages)
    app.beside = (watchdog.run, notices.run)
    serve_health(app, worker, watchdog, metrics, listener)
    ParkedPages(settings.postgres_url, codec, schemas, view).serve(app.web.web_app)
    log.info("projection_starts", projection=view.name, generation=generation.number, group=app.conf.id)
    return app


def _options(settings: Settings, generation: Generation) -> dict[str, Any]:
    data = settings.data_dir / "projections"
    data.mkdir(parents=True, exist_ok=True)
    return {
        "version": generation.number,
        "broker": ";".join(f"kafka://{host}" for host in settings.kafka_bootstrap.split(",")),
        "datadir": str(data),
        # A dead worker is found by its session; Faust's own default would take a minute.
        "broker_heartbeat_interval": 0.5,
        "broker_session_timeout": 6.0,
        # Reaching it is a dead end: aiokafka leaves the group and, having no assignment, never rejoins.
        "broker_max_poll_interval": 86_400.0,
        "broker_max_poll_records": 5_000,
        "consumer_max_fetch_size": 8 * 1024 * 1024,
        "consumer_auto_offset_reset": "earliest",
        "stream_buffer_maxsize": 2,  # batches
        "stream_wait_empty": False,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "web_stats_enabled": False,
        "web_router_enabled": False,
    }


async def _follow_until(stopping: asyncio.Event, app: ProjectionApp, listener: socket.socket) -> None:
    app.in_worker = True
    beside = [asyncio.create_task(_unfailing(run)) for run in app.beside]
    try:
        gc.freeze()  # what start-up made stays: no collection needs to go through it again
        await app.start()
        host, port = listener.getsockname()[:2]
        log.info("listening", url=f"http://{host}:{port}")
        await app.wait(stopping.wait())
    except Exception as error:
        stop_at_once("projection_stopped", reason="Faust failed", exc_info=error)
    finally:
        for task in beside:
            task.cancel()
    if app.crashed:
        stop_at_once("projection_stopped", reason=f"Faust failed: {app.crash_reason!r}")
    log.info("projection_ends")
    try:
        async with asyncio.timeout(_STOP_TIMEOUT_S):
            await app.stop()
    except TimeoutError:
        stop_at_once("projection_stopped", reason=f"Faust did not stop within {_STOP_TIMEOUT_S:.0f} s")


async def _unfailing(run: Callable[[], Awaitable[None]]) -> None:
    try:
        await run()
    except Exception as error:
        stop_at_once("projection_stopped", reason=f"what runs beside it failed: {error!r}", exc_info=error)


def _waits(attempt: RetryCallState) -> None:
    cause = attempt.outcome.exception() if attempt.outcome else None
    log.warning("projection_waits", reason=f"Postgres does not answer: {cause}", attempt=attempt.attempt_number)


async def _live_generation(settings: Settings, view: View, log_read: LogIdentity) -> Generation:
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(OperationalError),
        wait=wait_exponential_jitter(multiplier=0.1, max=2),
        stop=stop_after_delay(settings.start_wait_s),
        before_sleep=_waits,
        reraise=True,
    )
    return await retrying(_find_generation, settings, view, log_read)


async def _find_generation(settings: Settings, view: View, log_read: LogIdentity) -> Generation:
    async with await connect(settings.postgres_url) as connection:
        try:
            await require_log(connection, log_read)
            generation = await live_generation(connection, view)
            await count_held(connection, generation)
        except UndefinedTable as error:
            raise NotPrepared("the database lacks tables of orderlog; run: orderlog migrate") from error
    return generation


async def _identity(settings: Settings, topic: str) -> LogIdentity:
    await topic_admin.require(settings, ORDER_EVENTS, ORDER_EVENTS_DLQ)
    return await read_identity(settings.kafka_bootstrap, topic)
