"""`orderlog up | down | status | demo`: the whole system on this machine."""

import asyncio
import json
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli import settings
from cli.errors import FAILED
from cli.interrupting import ENDING, interruptible
from cli.progress import OnConsole
from local_stack import background, run_state
from local_stack import demo as demonstration
from local_stack.downloads import ensure_artifacts
from local_stack.run_state import RunState
from local_stack.stack import running_stack, tend_always
from service import logs

_RATE_HELP = "new orders per second; each is about five commands"


def up(
    foreground: Annotated[
        bool, typer.Option("--foreground", help="stay, and log here, until SIGTERM or Ctrl-C")
    ] = False,
) -> None:
    """Start Kafka, the registry, Postgres and every service, in the background; safe to repeat."""
    given, console = settings.load(), Console(stderr=True)
    if foreground:
        logs.configure(given, "stack")
        _stop_on_signals()
        with running_stack(given, OnConsole(console)) as stack:
            tend_always(stack)
    ensure_artifacts(given.cache_dir, OnConsole(console))
    state = background.start(given, OnConsole(console))
    _print_parts(state)
    typer.echo("\nstop it with: orderlog down")


def down() -> None:
    """Stop what `orderlog up` started, wherever its terminal is; the data stays."""
    stopped = background.stop(settings.load().data_dir)
    typer.echo("stopped; the data stays for the next start" if stopped else "nothing was running")


def status(
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """Show every part, where it is reached and whether it is ready; exit code 1 unless all are."""
    from local_stack import standing  # it knows the views, and loads what they need

    parts = standing.of(settings.of_running_stack())
    if as_json:
        typer.echo(json.dumps({"services": [part.as_dict() for part in parts]}))
    else:
        table = Table("part", "state", "address", "", box=None, pad_edge=False)
        for part in parts:
            table.add_row(part.name, part.state, part.url, part.detail)
        Console().print(table)
    if any(part.state != "ready" for part in parts):
        raise typer.Exit(FAILED)


def demo(
    orders_per_second: Annotated[float, typer.Option(min=0.1, max=1000, help=_RATE_HELP)] = 40,
) -> None:
    """Run everything with order traffic and show what becomes of it, until Ctrl-C; the data stays."""
    given, console = settings.load(), Console()
    logs.configure(given.model_copy(update={"log_level": "error"}), "demo")
    if run_state.is_running(given.data_dir):
        console.print("a stack runs already: sending traffic to it, and leaving it running afterwards")
        background.until_running(given.data_dir, OnConsole(console))
        work = demonstration.run(settings.of_running_stack(), orders_per_second, lambda: None, console)
        _run_until_interrupted(work)
        return
    _stop_on_signals()
    try:
        with running_stack(given, OnConsole(console)) as stack:
            work = demonstration.run(stack.settings, orders_per_second, stack.tend, console)
            _run_until_interrupted(work)
    finally:
        console.print("stopped; the data stays for the next start")


def _stop_on_signals() -> None:
    for number in ENDING:
        signal.signal(number, signal.default_int_handler)


def _run_until_interrupted(work: Coroutine[None, None, None]) -> None:
    with suppress(asyncio.CancelledError):
        asyncio.run(interruptible(work))


def _print_parts(state: RunState) -> None:
    for part in state.parts:
        typer.echo(f"{part.name:18} {part.url}")
