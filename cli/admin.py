"""`orderlog schemas | migrate | config`: what a cluster needs before the services start."""

import asyncio
import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli import settings
from cli.errors import FAILED
from cli.progress import counting
from eventlog.settings import Settings
from schemas import publish

schemas = typer.Typer(help="The Avro schemas and the registry.", no_args_is_help=True)

_TABLE_WIDTH = 160  # a narrower terminal would hide values


@schemas.command()
def check(
    offline: Annotated[bool, typer.Option("--offline", help="do not ask the registry")] = False,
) -> None:
    """Hold every committed schema version against all others, then against the registry.

    Exit code 1 when something is in the way: each problem is a line that names the file, the field and the rule.
    """
    from schemas.compatibility import check_committed  # what it needs is slow to load

    problems, given = check_committed(), settings.of_running_stack()
    if not problems and not offline:
        problems = publish.check(given.registry_url, given.topic_prefix)
    for problem in problems or ["every version can follow all before it" if offline else "every schema is registered"]:
        typer.echo(problem)
    if problems:
        raise typer.Exit(FAILED)


@schemas.command()
def register() -> None:
    """Register every committed schema version under FULL_TRANSITIVE; safe to repeat."""
    given = settings.of_running_stack()
    for subject in publish.register(given.registry_url, given.topic_prefix) or ["nothing new to register"]:
        typer.echo(subject)


@schemas.command()
def unknown(as_json: Annotated[bool, typer.Option("--json", help="progress and result as JSON lines")] = False) -> None:
    """List the events of types that this release does not know, from the log: which, how many, the first, the last.

    Views pass over them; what wrote them is a newer release, which can make the views again with them.
    """
    from eventlog.unknown import find_unknown

    with counting(as_json=as_json) as tell:
        found = asyncio.run(find_unknown(settings.of_running_stack(), lambda *counts: tell("log", *counts)))
    for one in found:
        if as_json:
            typer.echo(json.dumps(asdict(one)))
        else:
            where = f"first at {one.partition}:{one.first}, last at {one.partition}:{one.last}"
            typer.echo(f"{one.type}: {one.events:,} in partition {one.partition}, {where}")
    if not found and not as_json:
        typer.echo("this release knows every event in the log")


def migrate() -> None:
    """Bring the database up to date, create it if it is missing; safe to repeat."""
    import migrations  # half of what all verbs would take to start

    for revision in migrations.upgrade(settings.of_running_stack().postgres_url) or ["nothing to migrate"]:
        typer.echo(revision)


def config(
    defaults: Annotated[bool, typer.Option("--defaults", help="show defaults, not the values in force")] = False,
) -> None:
    """List every setting: its variable, its value, where that comes from, what it means."""
    given = settings.load()
    in_force = settings.of_running_stack()
    table = Table(box=None, pad_edge=False)
    for heading in ("variable", "default" if defaults else "value", "from", "meaning"):
        table.add_column(heading, no_wrap=heading != "meaning")
    for name, field in Settings.model_fields.items():
        value = field.default if defaults else getattr(in_force, name)
        value = value if field.repr or not value else "(hidden)"
        table.add_row(f"ORDERLOG_{name.upper()}", str(value), _source(name, given, in_force), field.description or "")
    Console(width=max(Console().width, _TABLE_WIDTH)).print(table)


def _source(name: str, given: Settings, in_force: Settings) -> str:
    if name in given.model_fields_set:
        return "set"
    return "running stack" if getattr(given, name) != getattr(in_force, name) else "default"
