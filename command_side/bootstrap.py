"""The command side's composition root: the only place where its parts are put together."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from uuid import uuid4

from fastapi import FastAPI

from command_side.api import health
from command_side.api.app import create_app
from command_side.api.bulk import BulkLimits
from command_side.api.forwarding import FORWARDED
from command_side.election import Candidate
from command_side.metrics import CommandMetrics
from command_side.owners import Owners
from command_side.ownership import Ownership
from command_side.partition_writer import Phase
from command_side.routing import Router
from command_side.writers import Writers
from eventlog import topic_admin
from eventlog.fence_probe import require_fencing
from eventlog.fencing import LogClient
from eventlog.identity import read_identity
from eventlog.settings import Settings
from schemas.codec import Codec
from schemas.publish import load_codec
from schemas.topics import ORDER_EVENTS, WRITER_OWNERS, WRITER_PROBE
from service.admission import Admission
from service.folders import own_folder
from service.serving import run_app
from service.sockets import listen

_PROBE_S = 30.0


async def prepared_codec(settings: Settings) -> Codec:
    """The codec, once topics and schemas are there and the broker fences, so that writers may be started.

    Raises TopicMissing, TopicMismatch, NotRegistered, RegistryUnavailable, DoesNotFence, KafkaError, TimeoutError.
    """
    await topic_admin.require(settings, ORDER_EVENTS, WRITER_OWNERS, WRITER_PROBE)
    codec = await asyncio.to_thread(load_codec, settings.registry_url, settings.topic_prefix)
    probe = settings.topic(WRITER_PROBE.name)
    async with LogClient(settings.kafka_bootstrap, probe, settings.produce_deadline_s) as client:
        async with asyncio.timeout(_PROBE_S):
            await require_fencing(client, f"{probe}-{uuid4()}")
    return codec


@asynccontextmanager
async def running_router(
    settings: Settings, codec: Codec, advertised_url: str, metrics: CommandMetrics | None = None
) -> AsyncIterator[Router]:
    """The way to every partition's writer, this process standing for its share as soon as it is entered."""
    topic, metrics = settings.topic(ORDER_EVENTS.name), metrics or CommandMetrics()
    log_read = await read_identity(settings.kafka_bootstrap, topic)
    writer_id = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
    async with AsyncExitStack() as running:
        client = await running.enter_async_context(
            LogClient(settings.kafka_bootstrap, topic, settings.produce_deadline_s)
        )
        folder = running.enter_context(own_folder(settings.data_dir / "orders"))
        log_id = f"{log_read.cluster_id}/{log_read.topic_id}"
        candidate = Candidate(settings, client, codec, writer_id, advertised_url, log_id, folder, metrics)
        owners = await running.enter_async_context(Owners(settings, codec, log_id))
        writers = await running.enter_async_context(Writers(candidate, owners))
        ownership = await running.enter_async_context(Ownership(candidate, writers, owners))
        router = Router(settings, writers, owners, ownership, metrics)
        metrics.exposition.before_scrape(lambda: _look(metrics, router, writers))
        yield router


def _look(metrics: CommandMetrics, router: Router, writers: Writers) -> None:
    metrics.in_flight.put(router.in_flight)
    for status in router.status():
        metrics.has_owner.put(not status.reason, partition=status.partition)
    metrics.term.clear()
    metrics.queued.clear()
    for writer in writers:
        if writer.phase is Phase.SERVING and writer.barrier:
            metrics.term.put(writer.barrier.term, partition=writer.partition)
            metrics.queued.put(writer.queued, partition=writer.partition)


def build_app(settings: Settings, codec: Codec, advertised_url: str, metrics: CommandMetrics | None = None) -> FastAPI:
    """The command API that `settings` describe, reached by others at `advertised_url`."""
    bulk_limits = BulkLimits(settings.max_body_bytes, settings.max_bulk_commands)

    def run_router() -> AbstractAsyncContextManager[Router]:
        return running_router(settings, codec, advertised_url, metrics)

    return create_app(run_router, settings.max_body_bytes, bulk_limits)


def serve(settings: Settings) -> None:
    """Serve the command API until SIGTERM or SIGINT.

    Raises OSError when its port is taken, and what `prepared_codec` does.
    """
    listener = listen(settings.command_api_host, settings.command_api_port)
    codec = asyncio.run(prepared_codec(settings))
    metrics = CommandMetrics()
    app = build_app(settings, codec, settings.advertised_url or _own_url(listener), metrics)
    admission = Admission(
        app,
        at_once=settings.max_requests_at_once,
        wait_s=settings.request_wait_s,
        most_waiting=settings.max_requests_waiting,
        exempt=FORWARDED,
        always=health.PATHS,
        on_refusal=metrics.requests_refused.inc,
    )

    def look() -> None:
        metrics.requests_inside.put(admission.inside)
        metrics.requests_waiting.put(admission.waiting)

    metrics.exposition.before_scrape(look)
    run_app(
        admission,
        listener,
        "command-api",
        settings,
        before_stop=lambda: app.state.router.hand_over(),
        exposition=metrics.exposition,
    )


def _own_url(listener: socket.socket) -> str:
    """Where other instances reach this one, as far as it can know."""
    host, port = listener.getsockname()[:2]
    return f"http://{socket.gethostname() if host in ('0.0.0.0', '::') else host}:{port}"
