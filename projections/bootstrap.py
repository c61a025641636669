"""The projections' composition root: the only place where a worker's parts are put together."""

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog
from psycopg import OperationalError
from psycopg.errors import UndefinedTable
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from eventlog import topic_admin
from eventlog.identity import LogIdentity, read_identity
from eventlog.settings import Settings
from projections.apps import Parts, table_app, view_app
from projections.catalogue import VIEWS
from projections.database import connect
from projections.generations import Generation, live_generation
from projections.log_identity import require_log
from projections.metrics import Metrics
from projections.parking import count_held
from projections.schema_lookup import SchemaLookup
from projections.stopping import stop_at_once
from projections.table_view import TableView
from projections.transport import ProjectionApp
from projections.view import View
from schemas.errors import BadInput, Explained
from schemas.publish import load_codec
from schemas.registry import Registry
from schemas.topics import ORDER_EVENTS, ORDER_EVENTS_DLQ
from service import logs
from service.folders import own_folder
from service.sockets import listen

log = structlog.get_logger()

_STOP_TIMEOUT_S = 20.0
_LOOKUP_PATIENCE_S = 1.0  # a schema that cannot be had now is asked for again with the batch that needs it
# Faust's services log under the module of their class, which for those derived here is ours.
_CHATTY = ("projections.transport", "projections.health", "projections.fenced_table", "httpx")


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
    folders = settings.data_dir.absolute() / "projections" / projection
    with listen(settings.worker_host, settings.worker_port_of(projection)) as listener, own_folder(folders) as folder:
        asyncio.run(_run(VIEWS[projection], settings, listener, folder))


async def _run(view: View | TableView, settings: Settings, listener: socket.socket, folder: Path) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    starting = asyncio.create_task(build_app(view, settings, listener, folder))
    await asyncio.wait([starting, asyncio.create_task(stopping.wait())], return_when=asyncio.FIRST_COMPLETED)
    if stopping.is_set():
        starting.cancel()
        return
    await _follow_until(stopping, await starting, listener)


async def build_app(view: View | TableView, settings: Settings, listener: socket.socket, folder: Path) -> ProjectionApp:
    """The Faust app that keeps `view` up to date, its data in `folder`, ready to be started. Raises as `run` does."""
    identity = await _identity(settings, settings.topic(ORDER_EVENTS.name))
    schemas = SchemaLookup(Registry(settings.registry_url, _LOOKUP_PATIENCE_S).schema)
    codec = await asyncio.to_thread(load_codec, settings.registry_url, settings.topic_prefix, lookup=schemas)
    generation = await _live_generation(settings, view, identity)
    parts = Parts(settings, codec, schemas, identity, generation, Metrics(generation), listener, folder)
    app = await table_app(parts, view) if isinstance(view, TableView) else view_app(parts, view)
    log.info("projection_starts", projection=view.name, generation=generation.number, group=app.conf.id)
    return app


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


async def _live_generation(settings: Settings, view: View | TableView, log_read: LogIdentity) -> Generation:
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(OperationalError),
        wait=wait_exponential_jitter(multiplier=0.1, max=2),
        stop=stop_after_delay(settings.start_wait_s),
        before_sleep=_waits,
        reraise=True,
    )
    return await retrying(_find_generation, settings, view, log_read)


async def _find_generation(settings: Settings, view: View | TableView, log_read: LogIdentity) -> Generation:
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
