"""The Faust app of a view, put together for bootstrap.py: one way for views in Postgres, one for views in tables."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from eventlog import topic_admin
from eventlog.identity import LogIdentity
from eventlog.settings import Settings
from projections.announcing import Announcer
from projections.changelog import Changelog, changelog_topic
from projections.faust_names import app_name, building_folders, group_of, table_of
from projections.fenced_table import FencedTable
from projections.generations import Generation
from projections.health import serve_health
from projections.inheritance import Inheritance
from projections.metrics import Metrics
from projections.parking_notices import Notices
from projections.parking_pages import ParkedPages
from projections.parking_redrive import Parking
from projections.parking_table_redrive import TableParking
from projections.publishing import MOST_PUBLISHED, Publisher
from projections.read_ahead import MOST_RECORDS
from projections.rebuild.pages import RebuildPages
from projections.table_pages import serve_tables
from projections.table_view import AnyView, TableView
from projections.table_worker import TableWorker
from projections.transport import ProjectionApp
from projections.view import View
from projections.watchdog import Watchdog
from projections.worker import ViewWorker, Worker
from schemas.codec import Codec
from schemas.topics import ORDER_EVENTS, ORDER_EVENTS_DLQ
from service.schema_lookup import SchemaLookup

_RECOVERY_QUEUE = 10_000


@dataclass(frozen=True, slots=True)
class Parts:
    """What every worker is made of; `folder` is its own, on `listener` it answers, `publisher` if the view publishes.

    `ends` is up to where the generation is made, {partition: offset}; None for one that follows the log.
    """

    settings: Settings
    codec: Codec
    schemas: SchemaLookup
    identity: LogIdentity
    generation: Generation
    metrics: Metrics
    listener: socket.socket
    folder: Path
    ends: Mapping[int, int] | None = None
    publisher: Publisher | None = None

    @property
    def url(self) -> str:
        """Where the worker listens."""
        host, port = self.listener.getsockname()[:2]
        return f"http://{host}:{port}"


def view_app(parts: Parts, view: View) -> ProjectionApp:
    """The app of a view in Postgres."""
    settings, codec, schemas, notices = parts.settings, parts.codec, parts.schemas, _notices(parts)
    publisher = parts.publisher
    worker = ViewWorker(settings, codec, schemas, view, parts.generation, parts.metrics, notices.hurry, publisher)
    most = MOST_PUBLISHED if publisher else MOST_RECORDS
    app = _app(parts, view, worker, {"broker_max_poll_records": most, "consumer_max_fetch_size": 4 * 2**20})
    app.beside = (*app.beside, notices.run)
    parking = partial(Parking, codec=codec, schemas=schemas, views={view.name: view}, publisher=publisher)
    ParkedPages(settings.postgres_url, parts.generation, parking).serve(app.web.web_app)
    return app


async def table_app(parts: Parts, view: TableView) -> ProjectionApp:
    """The app of a view in a table, whose changelog topic is made here. Raises TopicMismatch, KafkaError."""
    settings, codec, schemas, notices = parts.settings, parts.codec, parts.schemas, _notices(parts)
    announcer = Announcer(settings.postgres_url, view, parts.generation, settings.worker_advertised_url or parts.url)
    worker = TableWorker(settings, codec, schemas, view, parts.generation, parts.metrics, announcer, notices.hurry)
    # Writes cost by their number, so batches are as large as memory allows.
    app = _app(parts, view, worker, {"broker_max_poll_records": 50_000})
    app.beside = (*app.beside, notices.run)
    worker.table = FencedTable(app, table_of(view.name, view.version, parts.identity), worker)
    worker.table.inheritance = Inheritance(building_folders(settings, parts.generation), parts.generation)
    topic = worker.table.changelog
    declared = changelog_topic(topic.removeprefix(settings.topic_prefix), owner=f"projections/{view.name}")
    await topic_admin.apply(settings, [declared])
    worker.changelog = Changelog(settings.kafka_bootstrap, topic, settings.produce_deadline_s)
    # Faust's own has room for as many rows as a stream for messages, which for batches is next to nothing.
    app.tables._changelog_queue = app.FlowControlQueue(maxsize=_RECOVERY_QUEUE, clear_on_resume=True)
    serve_tables(app, worker, view)
    parking = partial(TableParking, codec=codec, schemas=schemas, view=view, worker=worker)
    ParkedPages(settings.postgres_url, parts.generation, parking).serve(app.web.web_app)
    return app


def _notices(parts: Parts) -> Notices:
    dlq = parts.settings.topic(ORDER_EVENTS_DLQ.name)
    return Notices(parts.settings.postgres_url, parts.settings.kafka_bootstrap, dlq, parts.generation.projection)


def _app(parts: Parts, view: AnyView, worker: Worker, options: dict[str, Any]) -> ProjectionApp:
    topic = parts.settings.topic(ORDER_EVENTS.name)
    options = {**_options(parts.settings, parts.generation, parts.folder), **options}
    name = app_name(parts.settings, parts.generation.projection)
    app = ProjectionApp(name, topic, worker.read_starts, worker.let_go, **options)
    app.agent(app.topic(topic, key_serializer="raw", value_serializer="raw"), concurrency=1)(worker.follow)
    worker.ends, worker.group = parts.ends, group_of(parts.settings, parts.generation)
    watchdog = Watchdog(parts.settings, app, parts.metrics, worker.reached, lambda: worker.waiting_for, worker.ages)
    app.beside = (watchdog.run,)
    serve_health(app, worker, watchdog, parts.metrics, parts.listener)
    RebuildPages(parts.settings, view).serve(app.web.web_app)
    return app


def _options(settings: Settings, generation: Generation, folder: Path) -> dict[str, Any]:
    return {
        "version": generation.number,
        "broker": ";".join(f"kafka://{host}" for host in settings.kafka_bootstrap.split(",")),
        "datadir": str(folder),
        # A dead worker is found by its session; Faust's own default would take a minute.
        "broker_heartbeat_interval": 0.5,
        "broker_session_timeout": 6.0,
        # Reaching it is a dead end: aiokafka leaves the group and, having no assignment, never rejoins.
        "broker_max_poll_interval": 86_400.0,
        "consumer_max_fetch_size": 8 * 1024 * 1024,
        "consumer_auto_offset_reset": "earliest",
        "store": "rocksdb://",
        "stream_buffer_maxsize": 2,  # batches
        "stream_wait_empty": False,
        "table_standby_replicas": 0,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "web_stats_enabled": False,
        "web_router_enabled": False,
    }
