"""`orderlog log`: the log as a person reads it; its backup, and its way back."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import msgspec
import typer
from rich.console import Console

from cli import settings
from cli.progress import OnConsole, counting
from eventlog.recorded import RecordedEvent
from eventlog.settings import Settings
from eventlog.tail import tail as follow_log
from local_stack import run_state
from local_stack.infrastructure import Infrastructure

log = typer.Typer(help="The event log itself.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="the backup's folder, which it has to itself")]
AsJson = Annotated[bool, typer.Option("--json", help="progress and result as JSON lines")]


@log.command()
def tail(
    order: Annotated[UUID | None, typer.Option(help="only the events of this order")] = None,
    from_start: Annotated[bool, typer.Option("--from-start", help="from the first event, not only new ones")] = False,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="wait for more, until Ctrl-C")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """Print the log's events: time, position, order and version, type, content."""
    asyncio.run(_tail(from_start=from_start, follow=follow, order=order, as_json=as_json))


@log.command()
def backup(folder: Folder, as_json: AsJson = False) -> None:
    """Copy what the log has, and FOLDER has not, into Avro files there; safe to interrupt and to repeat.

    Kafka, registry and services run on. Beside the records there are their offsets, times, keys and headers, and the
    schemas. The backup of another log is refused.
    """
    from eventlog.backup.saving import backup as back_up

    began = time.monotonic()
    with counting(as_json=as_json) as tell:
        done = asyncio.run(back_up(settings.of_running_stack(), folder, lambda *counts: tell("backup", *counts)))
    rate = done.records / (time.monotonic() - began)
    if as_json:
        typer.echo(json.dumps({**asdict(done), "records_per_second": rate}))
        return
    typer.echo(f"{done.records:,} records in {done.files} new files, {rate:,.0f}/s; {done.total_records:,} in all")


@log.command()
def restore(
    folder: Folder,
    start: Annotated[
        bool, typer.Option("--start", help="start this machine's Kafka and registry for it, stop them afterwards")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put a backup into a cluster without a log: same offsets, keys, headers, times, bytes, schema ids.

    Checksums first; a log that is there is refused, and nothing changed. Killed, it goes on when it is run again;
    until it has finished, no service starts. Views are then made from the log, in a database that has none.
    """
    from eventlog.backup.restoring import restore as put_back

    began = time.monotonic()
    with _where_to(start) as given, counting(as_json=as_json) as tell:
        records = asyncio.run(put_back(given, folder, tell))
    took_s = time.monotonic() - began
    if as_json:
        typer.echo(json.dumps({"records": records, "seconds": took_s}))
        return
    typer.echo(f"{records:,} records are in the log, as they were; {took_s:,.0f} s")


@contextmanager
def _where_to(start: bool) -> Iterator[Settings]:
    """The settings to restore with; while this is entered, the embedded Kafka and registry run if `start`."""
    if not start:
        yield settings.of_running_stack()
        return
    given, console = settings.load(), OnConsole(Console(stderr=True))
    with run_state.owned(given.data_dir):
        parts = Infrastructure(given.data_dir.absolute(), given.cache_dir, console)
        try:
            parts.kafka.start()
            parts.registry.start()
            ends = parts.endpoints
            yield given.model_copy(update={"kafka_bootstrap": ends.kafka_bootstrap, "registry_url": ends.registry_url})
        finally:
            parts.registry.stop()
            parts.kafka.stop()


async def _tail(*, from_start: bool, follow: bool, order: UUID | None, as_json: bool) -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False)
    order_id = str(order) if order else None
    given = settings.of_running_stack()
    async for recorded in follow_log(given, from_start=from_start, follow=follow, order_id=order_id):
        console.print(_as_json(recorded) if as_json else _as_line(recorded))


def _as_line(recorded: RecordedEvent) -> str:
    about = recorded.metadata
    content = {name: value for name, value in msgspec.to_builtins(recorded.event).items() if name != "order_id"}
    of = f"{about.subject} v{about.version}" if about.version else f"term {about.term}"
    time = about.time.isoformat(sep=" ", timespec="milliseconds")
    return f"{time}  {recorded.position!s:>9}  {of}  {type(recorded.event).__name__}  {_compact(content)}"


def _as_json(recorded: RecordedEvent) -> str:
    event = {"type": type(recorded.event).__name__, **msgspec.to_builtins(recorded.event)}
    return _compact(
        {"position": str(recorded.position), "event": event, "metadata": msgspec.structs.asdict(recorded.metadata)}
    )


def _compact(content: dict[str, Any]) -> str:
    return json.dumps(content, default=str, ensure_ascii=False)
