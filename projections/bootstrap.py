"""The projections' composition root: the only place where a worker's parts are put together."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import structlog
from psycopg import OperationalError
from psycopg.errors import UndefinedTable
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from eventlog import topic_admin
from eventlog.identity import LogIdentity, read_identity
from eventlog.settings import Settings
from projections.apps import Parts, table_app, view_app
from projections.catalogue import VIEWS, refuse_published
from projections.faust_names import building_folders, folders_of
from projections.generations import Generation, NeedsRebuild, live_generation
from projections.log_identity import require_log
from projections.metrics import Metrics
from projections.parking import count_held
from projections.publishing import Publisher
from projections.rebuild import records
from projections.rebuild.building import Ends
from projections.rebuild.cleaning import forget_changelog
from projections.succession import Succession
from projections.table_view import AnyView, TableView
from projections.transport import ProjectionApp
from projections.view import Publishes
from schemas.errors import BadInput, Explained
from schemas.publish import load_codec
from schemas.registry import Registry
from schemas.topics import ORDER_EVENTS, ORDER_EVENTS_DLQ, Topic
from service import logs, tracing
from service.database import Connection, connect
from service.folders import own_folder
from service.schema_lookup import SchemaLookup
from service.sockets import listen
from service.stopping import stop_at_once

log = structlog.get_logger()

_STOP_TIMEOUT_S = 20.0
_LOOKUP_PATIENCE_S = 1.0  # a schema that cannot be had now is asked for again with the batch that needs it
# Faust's services log under the module of their class, which for those derived here is ours.
_CHATTY = ("projections.transport", "projections.health", "projections.fenced_table")


class UnknownProjection(BadInput):
    """No view of the catalogue has this name."""


class NotPrepared(Explained):
    """Something that is made once for the whole system is missing; the message says what to run."""


def run(projection: str, settings: Settings, number: int | None = None) -> None:
    """Keep the view `projection` up to date until SIGTERM or SIGINT: its live generation, or the one with `number`.

    When the live generation is replaced, the process begins again in the new one. Raises UnknownProjection,
    NotPrepared, TopicMissing, TopicMismatch, NotRegistered, WrongLog, NeedsRebuild; OSError when its port is taken;
    KafkaError, RegistryUnavailable or psycopg.OperationalError when that part does not answer.
    Later failures that are not waited out end the process with status 1.
    """
    if projection not in VIEWS:
        raise UnknownProjection(f"there is no projection {projection!r}; there is: {', '.join(VIEWS)}")
    if number is not None:
        refuse_published(projection)
    logs.configure(settings, f"projection-{projection}")
    tracing.configure(settings, f"projection-{projection}")
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    folders = folders_of(settings, projection)
    if number is not None:
        folders = building_folders(settings, Generation(projection, number))
    with listen(settings.worker_host, settings.worker_port_of(projection)) as listener, own_folder(folders) as folder:
        replaced = asyncio.run(_run(VIEWS[projection], settings, listener, folder, number))
    if replaced and number is None:
        tracing.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


async def _run(view: AnyView, settings: Settings, listener: socket.socket, folder: Path, number: int | None) -> bool:
    """Follow the log until told to stop; whether it was not that, but that the generation was replaced."""
    stopping = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stopping.set)
    starting = asyncio.create_task(build_app(view, settings, listener, folder, number))
    await asyncio.wait([starting, asyncio.create_task(stopping.wait())], return_when=asyncio.FIRST_COMPLETED)
    if stopping.is_set():
        starting.cancel()
        return False
    app, succession = await starting
    if number is None:
        await succession.take_over()
    either = [asyncio.create_task(event.wait()) for event in (stopping, succession.over)]
    await _follow_until(asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED), app, listener)
    return not stopping.is_set()


async def build_app(
    view: AnyView, settings: Settings, listener: socket.socket, folder: Path, number: int | None
) -> tuple[ProjectionApp, Succession]:
    """The Faust app that keeps `view` up to date, its data in `folder`, ready to be started. Raises as `run` does."""
    publishes = view.publishes if isinstance(view, Publishes) else ()
    identity = await _identity(settings, settings.topic(ORDER_EVENTS.name), publishes)
    schemas = SchemaLookup(Registry(settings.registry_url, _LOOKUP_PATIENCE_S).schema)
    codec = await asyncio.to_thread(load_codec, settings.registry_url, settings.topic_prefix, lookup=schemas)
    generation, ends = await _generation(settings, view, identity, number)
    metrics = Metrics(generation)
    publisher = None
    if publishes:
        publisher = await Publisher.load(settings, publishes, lambda topic, n: metrics.published.add(n, topic=topic))
    parts = Parts(settings, codec, schemas, identity, generation, metrics, listener, folder, ends, publisher)
    app = await table_app(parts, view) if isinstance(view, TableView) else view_app(parts, view)
    succession = Succession(settings, view, generation, metrics, folder)
    app.beside = (*app.beside, succession.run)
    log.info("projection_starts", projection=view.name, generation=generation.number, group=app.conf.id)
    return app, succession


async def _follow_until(over: Awaitable[object], app: ProjectionApp, listener: socket.socket) -> None:
    app.in_worker = True
    beside = [asyncio.create_task(_unfailing(run)) for run in app.beside]
    try:
        gc.freeze()  # what start-up made stays: no collection needs to go through it again
        await app.start()
        host, port = listener.getsockname()[:2]
        log.info("listening", url=f"http://{host}:{port}")
        await app.wait(over)
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


async def _generation(
    settings: Settings, view: AnyView, log_read: LogIdentity, number: int | None
) -> tuple[Generation, Ends]:
    """The generation to be kept, and up to where in the log."""
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(OperationalError),
        wait=wait_exponential_jitter(multiplier=0.1, max=2),
        stop=stop_after_delay(settings.start_wait_s),
        before_sleep=_waits,
        reraise=True,
    )
    return await retrying(_find_generation, settings, view, log_read, number)


async def _find_generation(
    settings: Settings, view: AnyView, log_read: LogIdentity, number: int | None
) -> tuple[Generation, Ends]:
    async with await connect(settings.postgres_url) as connection:

        async def forget(first: Generation) -> None:
            await forget_changelog(settings, connection, view, first, view.version)

        try:
            await require_log(connection, log_read)
            if number is not None:
                return await _building(connection, view, number)
            generation = await live_generation(connection, view, forget)
            await count_held(connection, generation)
        except UndefinedTable as error:
            raise NotPrepared("the database lacks tables of orderlog; run: orderlog migrate") from error
    return generation, None


async def _building(connection: Connection, view: AnyView, number: int) -> tuple[Generation, Ends]:
    record = await records.of(connection, Generation(view.name, number))
    if record.version != view.version:
        made = f"generation {number} of {view.name} is made by version {record.version} of its code"
        raise NeedsRebuild(f"{made}, this is {view.version}")
    return record.generation, record.ends


async def _identity(settings: Settings, topic: str, publishes: Sequence[Topic]) -> LogIdentity:
    await topic_admin.require(settings, ORDER_EVENTS, ORDER_EVENTS_DLQ, *publishes)
    return await read_identity(settings.kafka_bootstrap, topic)
