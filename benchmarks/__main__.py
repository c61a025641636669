"""`make bench`: every figure, each against its peer in the same run, on a stack of its own."""

import logging
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated
from uuid import uuid4

import typer
import uvloop
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from rich.console import Console

from benchmarks import (
    append,
    bulk_import,
    handover,
    http_commands,
    http_latency,
    inventory,
    live_view,
    log_and_back,
    older_events,
    order_to_confirmed,
    overload,
    queries,
    rebuild,
    recovery,
    sales_tables,
    side_by_side,
    traces,
    visible,
    writer,
)
from benchmarks.results import Figure, keep, show
from cli.errors import explained
from cli.progress import OnConsole
from eventlog.settings import Settings
from local_stack.infrastructure import Infrastructure
from local_stack.preparing import prepare
from schemas.errors import BadInput
from service import logs

Measure = Callable[[Settings], Awaitable[list[Figure]]]

_MODULES = (
    append,
    writer,
    http_latency,
    http_commands,
    bulk_import,
    overload,
    handover,
    side_by_side,
    recovery,
    live_view,
    visible,
    queries,
    sales_tables,
    rebuild,
    log_and_back,
    older_events,
    inventory,
    order_to_confirmed,
    traces,
)
MEASUREMENTS: Mapping[str, ModuleType] = {module.__name__.rpartition(".")[2]: module for module in _MODULES}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def about(name: str) -> str:
    """What the measurement measures: the first line of its module."""
    return (MEASUREMENTS[name].__doc__ or "").split("\n", 1)[0]


_HELP = "Measure on a Kafka, registry and Postgres of this run's own; print a table, write benchmarks/latest.json."
_LIST = "\n\n".join(f"{name}: {about(name)}" for name in MEASUREMENTS)


@app.command(help=f"{_HELP}\n\nThere is:\n\n{_LIST}")
def bench(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="what to measure; everything when none is named")
    ] = None,
) -> None:
    """Run the measurements called `names`, each in a world of its own; keep each one's figures as soon as it ends."""
    chosen = chosen_names(names or [])
    progress, figures = OnConsole(Console(stderr=True)), list[Figure]()
    with tempfile.TemporaryDirectory(prefix="orderlog-bench-") as folder:
        # Postgres runs as another user when we are root, and must be able to reach its data.
        Path(folder).chmod(0o755)
        infrastructure = Infrastructure(Path(folder), None, progress)
        infrastructure.start()
        try:
            logs.configure(Settings(_env_file=None, log_level="error"), "benchmark")
            for number, name in enumerate(chosen, 1):
                progress.step(f"measuring {name}, {number} of {len(chosen)}")
                measure: Measure = MEASUREMENTS[name].measure
                found = uvloop.run(_measured(measure, _world(infrastructure, Path(folder))))
                keep(name, found)
                figures += found
        finally:
            infrastructure.stop()
    show(figures)


def chosen_names(names: Sequence[str]) -> list[str]:
    """The measurements to run: those named, each once, or all. Raises BadInput that says which there are."""
    for name in names:
        if name not in MEASUREMENTS:
            raise BadInput(f"no measurement is called {name!r}; there is: {', '.join(MEASUREMENTS)}")
    return list(dict.fromkeys(names)) or list(MEASUREMENTS)


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


async def _measured(measure: Measure, settings: Settings) -> list[Figure]:
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


def main() -> None:
    """Run the command line; what goes wrong is one line on standard error."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    sys.exit(explained(lambda: app(standalone_mode=False)))


if __name__ == "__main__":
    main()
