"""`make bench`: every figure, each against its peer in the same run, on a stack of its own."""

import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import uvloop
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from rich.console import Console

from benchmarks import append, http_commands, live_view, sales_tables, writer
from benchmarks.results import Figure, report
from cli.progress import OnConsole
from eventlog.settings import Settings
from local_stack.infrastructure import Infrastructure
from local_stack.preparing import prepare
from service import logs

_MEASUREMENTS = (append.measure, writer.measure, http_commands.measure, live_view.measure, sales_tables.measure)


def main() -> None:
    """Measure and report."""
    progress, figures = OnConsole(Console(stderr=True)), list[Figure]()
    with tempfile.TemporaryDirectory(prefix="orderlog-bench-") as folder:
        # Postgres runs as another user when we are root, and must be able to reach its data.
        Path(folder).chmod(0o755)
        infrastructure = Infrastructure(Path(folder), None, progress)
        infrastructure.start()
        try:
            logs.configure(Settings(_env_file=None, log_level="error"), "benchmark")
            for measure in _MEASUREMENTS:
                progress.step(f"measuring {measure.__module__}")
                figures += uvloop.run(_measured(measure, _world(infrastructure, Path(folder))))
        finally:
            infrastructure.stop()
    report(figures)


def _world(infrastructure: Infrastructure, folder: Path) -> Settings:
    """Topics and a database of a measurement's own, so that none reads what another wrote."""
    name = f"b{uuid4().hex[:8]}"
    endpoints = infrastructure.endpoints
    return Settings(
        _env_file=None,
        kafka_bootstrap=endpoints.kafka_bootstrap,
        registry_url=endpoints.registry_url,
        postgres_url=endpoints.postgres_url.replace("/orderlog", f"/{name}"),
        topic_prefix=f"{name}.",
        data_dir=folder,
    )


async def _measured(measure: Callable[[Settings], Awaitable[list[Figure]]], settings: Settings) -> list[Figure]:
    await prepare(settings)
    await _create_bare_topic(settings)
    return await measure(settings)


async def _create_bare_topic(settings: Settings) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    try:
        name = append.bare_topic(settings)
        await admin.create_topics([NewTopic(name, settings.partitions, settings.replication_factor)])
    finally:
        await admin.close()


if __name__ == "__main__":
    main()
