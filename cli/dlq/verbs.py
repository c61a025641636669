"""The verbs of `orderlog dlq`."""

import asyncio
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from cli import settings
from cli.errors import FAILED

if TYPE_CHECKING:
    from cli.dlq.anywhere import Parked, Result

dlq = typer.Typer(
    help="Parked events: what a projection or a subscriber could not handle, and later events of the same orders, "
    "which wait for it; and mails and commands that failed too often.",
    epilog="Exit codes: 0 done, 1 something stays parked or does not answer, 2 not possible as asked for.",
    no_args_is_help=True,
)

_WIDTH = 160
_AT = (
    "one event: its position in the log, such as 3:1207, for a projection; "
    "its id, such as order.events:3:1207, for a subscriber"
)

At = Annotated[str | None, typer.Argument(help=_AT)]
Order = Annotated[UUID | None, typer.Option(help="the parked events of this order")]
Everything = Annotated[bool, typer.Option("--all", help="everything that is parked")]
Projection = Annotated[str | None, typer.Option(help="only of this projection, such as orders")]
Subscriber = Annotated[str | None, typer.Option(help="only of this subscriber, such as email")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="do it, say what came of it, and take it back")]
AllGenerations = Annotated[
    bool, typer.Option("--all-generations", help="also of generations of a view that are not the live one")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for programs")]


@dlq.command("list")
def list_parked(
    order: Order = None,
    projection: Projection = None,
    subscriber: Subscriber = None,
    all_generations: AllGenerations = False,
    as_json: AsJson = False,
) -> None:
    """List what is parked, in sequence: where, order, why. `failed` ones hold up those `behind` them.

    `dead` ones are mails or commands that a subscriber could not send.
    """
    from cli.dlq.anywhere import Asked, parked

    asked = Asked(None, order, order is None, projection, subscriber)
    found = asyncio.run(parked(settings.of_running_stack(), asked, all_generations=all_generations))
    if as_json:
        typer.echo(json.dumps({"parked": [_as_dict(one) for one in found]}, indent=2))
    elif found:
        _print_table(found)
    else:
        typer.echo("nothing is parked")


@dlq.command()
def show(
    at: Annotated[str, typer.Argument(help=_AT)],
    projection: Projection = None,
    subscriber: Subscriber = None,
    all_generations: AllGenerations = False,
    as_json: AsJson = False,
) -> None:
    """Show one parked event whole: reason, traceback, headers, bytes; or a dead task: what it was to do."""
    from cli.dlq.anywhere import Asked, first_of, parked

    asked = Asked(at, projection=projection, subscriber=subscriber)
    found = asyncio.run(parked(settings.of_running_stack(), asked, all_generations=all_generations))
    first_of(found, asked)
    shown = [_as_dict(one, whole=True) for one in found]
    if as_json:
        typer.echo(json.dumps({"parked": shown}, indent=2))
        return
    for name, value in ((name, value) for one in shown for name, value in one.items()):
        lines = [f"{k}: {v}" for k, v in value.items()] if isinstance(value, dict) else str(value).splitlines()
        typer.echo(f"{name:12} " + f"\n{'':12} ".join(lines or [""]))


@dlq.command()
def redrive(
    at: At = None,
    order: Order = None,
    everything: Everything = False,
    projection: Projection = None,
    subscriber: Subscriber = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Handle parked events again, each order's in sequence, once what made them fail was mended; safe to repeat.

    Of one event: that one and those of its order before it. An event that
    fails again stays parked, with all behind it. Mails and commands that are
    dead are tried again by their subscriber, which publishes answers too.
    """
    from cli.dlq import anywhere

    asked = anywhere.Asked(at, order, everything, projection, subscriber)
    results = asyncio.run(anywhere.redrive(settings.of_running_stack(), asked, dry_run=dry_run))
    _print_results(results, dry_run=dry_run, as_json=as_json)


@dlq.command()
def discard(
    at: At = None,
    order: Order = None,
    everything: Everything = False,
    projection: Projection = None,
    subscriber: Subscriber = None,
    yes: Annotated[bool, typer.Option("--yes", help="really: it is for good")] = False,
    force: Annotated[bool, typer.Option("--force", help="though its order then cannot go on in the view")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Give up parked events on purpose, and handle what waited behind them. The log keeps them.

    A projection gives up no event of its order's history without --force:
    nothing later of that order can be applied without it.
    """
    from cli.dlq import anywhere
    from schemas.errors import BadInput

    asked = anywhere.Asked(at, order, everything, projection, subscriber)
    if not (yes or dry_run):
        raise BadInput("to discard is for good: say --yes, or --dry-run to see what would come of it")
    results = asyncio.run(anywhere.discard(settings.of_running_stack(), asked, force=force, dry_run=dry_run))
    _print_results(results, dry_run=dry_run, as_json=as_json)


def _as_dict(one: "Parked", *, whole: bool = False) -> dict[str, object]:
    from projections.parking_records import ParkedEvent
    from projections.parking_records import as_dict as event_as_dict
    from subscribers.parked_records import as_dict as message_as_dict

    return event_as_dict(one, whole=whole) if isinstance(one, ParkedEvent) else message_as_dict(one, whole=whole)


def _print_table(found: "Iterable[Parked]") -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("event", "order", "of", "state", "tried", "parked at", "why"):
        table.add_column(heading, no_wrap=heading != "why")
    for one in found:
        at = one.parked_at.isoformat(sep=" ", timespec="seconds")
        cells = (*_whose(one), one.state, str(one.attempts), at, one.reason)
        table.add_row(*cells)
    Console(width=max(Console().width, _WIDTH), markup=False, highlight=False).print(table)


def _whose(one: "Parked") -> tuple[str, str, str]:
    from projections.parking_records import ParkedEvent

    if isinstance(one, ParkedEvent):
        return str(one.position), str(one.order_id or ""), f"{one.projection} g{one.generation}"
    return one.event_id, str(one.order_id or ""), one.subscriber


def _print_results(results: "list[Result]", *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"dry_run": dry_run, "outcomes": [result.shown for result in results]}, indent=2))
    else:
        for result in results:
            typer.echo(f"{'dry run: ' if dry_run else ''}{result.sentence}")
    if any(result.left for result in results):
        raise typer.Exit(FAILED)
