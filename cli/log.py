"""`orderlog log`: the log as a person reads it."""

import asyncio
import json
from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console

from cli import settings
from eventlog.recorded import RecordedEvent
from eventlog.tail import tail as follow_log

log = typer.Typer(help="The event log itself.", no_args_is_help=True)


@log.command()
def tail(
    order: Annotated[UUID | None, typer.Option(help="only the events of this order")] = None,
    from_start: Annotated[bool, typer.Option("--from-start", help="from the first event, not only new ones")] = False,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="wait for more, until Ctrl-C")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """Print the log's events: time, position, order and version, type, content."""
    asyncio.run(_tail(from_start=from_start, follow=follow, order=order, as_json=as_json))


async def _tail(*, from_start: bool, follow: bool, order: UUID | None, as_json: bool) -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False)
    order_id = str(order) if order else None
    given = settings.of_running_stack()
    async for recorded in follow_log(given, from_start=from_start, follow=follow, order_id=order_id):
        console.print(_as_json(recorded) if as_json else _as_line(recorded))


def _as_line(recorded: RecordedEvent) -> str:
    about = recorded.metadata
    content = {name: value for name, value in asdict(recorded.event).items() if name != "order_id"}
    of = f"{about.subject} v{about.version}" if about.version else f"term {about.term}"
    time = about.time.isoformat(sep=" ", timespec="milliseconds")
    return f"{time}  {recorded.position!s:>9}  {of}  {type(recorded.event).__name__}  {_compact(content)}"


def _as_json(recorded: RecordedEvent) -> str:
    event = {"type": type(recorded.event).__name__, **asdict(recorded.event)}
    return _compact({"position": str(recorded.position), "event": event, "metadata": recorded.metadata._asdict()})


def _compact(content: dict[str, Any]) -> str:
    return json.dumps(content, default=str, ensure_ascii=False)
