"""`orderlog dlq`: what projections could not apply; redrive it, or give it up."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from cli import settings
from cli.errors import FAILED

if TYPE_CHECKING:
    from projections.parking_anywhere import ParkedAnywhere
    from projections.parking_records import ParkedEvent
    from projections.parking_redrive import Outcome

dlq = typer.Typer(
    help="Parked events: what a projection could not apply, and later events of the same orders, which wait for it.",
    epilog="Exit codes: 0 done, 1 something stays parked or does not answer, 2 not possible as asked for.",
    no_args_is_help=True,
)

_WIDTH = 160
_AT = "the position of one event, partition:offset, such as 3:1207"

Position = Annotated[str | None, typer.Argument(help=_AT)]
Order = Annotated[UUID | None, typer.Option(help="the parked events of this order")]
Everything = Annotated[bool, typer.Option("--all", help="everything that is parked")]
Projection = Annotated[str | None, typer.Option(help="only of this projection, such as orders")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="do it, say what came of it, and take it back")]
AllGenerations = Annotated[
    bool, typer.Option("--all-generations", help="also of generations of a view that are not the live one")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for programs")]


@dlq.command("list")
def list_parked(
    order: Order = None,
    projection: Projection = None,
    all_generations: AllGenerations = False,
    as_json: AsJson = False,
) -> None:
    """List what is parked, in log order: position, order, why. `failed` ones hold up those `behind` them."""
    from projections.parking_records import Selection, as_dict

    parked = asyncio.run(_parked(Selection(projection, order, live=not all_generations)))
    if as_json:
        typer.echo(json.dumps({"parked": [as_dict(event) for event in parked]}, indent=2))
    elif parked:
        _print_table(parked)
    else:
        typer.echo("nothing is parked")


@dlq.command()
def show(
    position: Annotated[str, typer.Argument(help=_AT)],
    projection: Projection = None,
    all_generations: AllGenerations = False,
    as_json: AsJson = False,
) -> None:
    """Show one parked event whole: reason, traceback, headers, bytes."""
    from projections.parking_records import NotParked, as_dict, select

    selection = replace(select(projection, position), live=not all_generations)
    parked = asyncio.run(_parked(selection))
    if not parked:
        raise NotParked(f"{selection} is not parked")
    shown = [as_dict(event, whole=True) for event in parked]
    if as_json:
        typer.echo(json.dumps({"parked": shown}, indent=2))
        return
    for name, value in ((name, value) for event in shown for name, value in event.items()):
        lines = [f"{k}: {v}" for k, v in value.items()] if isinstance(value, dict) else str(value).splitlines()
        typer.echo(f"{name:12} " + f"\n{'':12} ".join(lines or [""]))


@dlq.command()
def redrive(
    position: Position = None,
    order: Order = None,
    everything: Everything = False,
    projection: Projection = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Apply parked events, each order's in sequence, once what made them fail was mended; safe to repeat.

    Of a position: that event and those of its order before it. An event that fails again stays parked, with all
    behind it.
    """
    from projections.parking_records import select

    selection = select(projection, position, order, everything)
    outcomes = asyncio.run(_anywhere().redrive(selection, dry_run=dry_run))
    _print_outcomes(outcomes, dry_run=dry_run, as_json=as_json)


@dlq.command()
def discard(
    position: Position = None,
    order: Order = None,
    everything: Everything = False,
    projection: Projection = None,
    yes: Annotated[bool, typer.Option("--yes", help="really: it is for good")] = False,
    force: Annotated[bool, typer.Option("--force", help="though its order then cannot go on in the view")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Give up parked events on purpose, and apply what waited behind them. The log keeps them.

    An event that is part of its order's history is refused without --force: no later one can be applied without it.
    """
    from projections.parking_records import select
    from schemas.errors import BadInput

    selection = select(projection, position, order, everything)
    if not (yes or dry_run):
        raise BadInput("to discard is for good: say --yes, or --dry-run to see what would come of it")
    outcomes = asyncio.run(_anywhere().discard(selection, force=force, dry_run=dry_run))
    _print_outcomes(outcomes, dry_run=dry_run, as_json=as_json)


async def _parked(selection: Any) -> "list[ParkedEvent]":
    from projections.parking_records import select_parked
    from service.database import connect

    async with await connect(settings.of_running_stack().postgres_url) as connection:
        return await select_parked(connection, selection)


def _anywhere() -> "ParkedAnywhere":
    from projections.catalogue import IN_POSTGRES, IN_TABLES
    from projections.parking_anywhere import ParkedAnywhere

    return ParkedAnywhere(settings.of_running_stack(), IN_POSTGRES, IN_TABLES)


def _print_table(parked: "Iterable[ParkedEvent]") -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("position", "order", "projection", "state", "tried", "parked at", "why"):
        table.add_column(heading, no_wrap=heading != "why")
    for event in parked:
        at = event.parked_at.isoformat(sep=" ", timespec="seconds")
        cells = (event.position, event.order_id or "", f"{event.projection} g{event.generation}", event.state)
        table.add_row(*(str(cell) for cell in cells), str(event.attempts), at, event.reason)
    Console(width=max(Console().width, _WIDTH), markup=False, highlight=False).print(table)


def _print_outcomes(outcomes: "list[Outcome]", *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        from projections.parking_pages import outcome_as_dict

        shown = [outcome_as_dict(outcome) for outcome in outcomes]
        typer.echo(json.dumps({"dry_run": dry_run, "outcomes": shown}, indent=2))
    else:
        for outcome in outcomes:
            typer.echo(f"{'dry run: ' if dry_run else ''}{_sentence(outcome)}")
    if any(outcome.left for outcome in outcomes):
        raise typer.Exit(FAILED)


def _sentence(outcome: "Outcome") -> str:
    counts = ((outcome.applied, "applied"), (outcome.discarded, "discarded"), (outcome.left, "still parked"))
    done = ", ".join(f"{count} {what}" for count, what in counts if count) or "nothing left to do"
    return f"{outcome.held} in {outcome.held.projection}: {done}" + (f": {outcome.reason}" if outcome.reason else "")
