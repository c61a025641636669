"""`orderlog topics | schemas | migrate | config`: what a cluster needs before the services start."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli import settings
from cli.errors import FAILED
from eventlog import topic_admin
from eventlog.settings import Settings
from eventlog.topic_admin import TopicChange
from schemas import publish

topics = typer.Typer(help="The Kafka topics of the catalogue.", no_args_is_help=True)
schemas = typer.Typer(help="The Avro schemas and the registry.", no_args_is_help=True)

_TABLE_WIDTH = 160  # a narrower terminal would hide values
_NO_CHANGES = "nothing to change: the topics are as the catalogue says"


@topics.command()
def plan() -> None:
    """Show what `topics apply` would create or change."""
    _print_changes(asyncio.run(topic_admin.plan(settings.of_running_stack())))


@topics.command()
def apply() -> None:
    """Create missing topics and mend their configuration; safe to repeat."""
    _print_changes(asyncio.run(topic_admin.apply(settings.of_running_stack())))


@schemas.command()
def check() -> None:
    """Hold every committed schema version against the registry; exit code 1 when something is in the way."""
    given = settings.of_running_stack()
    problems = publish.check(given.registry_url, given.topic_prefix)
    for problem in problems or ["every schema is registered"]:
        typer.echo(problem)
    if problems:
        raise typer.Exit(FAILED)


@schemas.command()
def register() -> None:
    """Register every committed schema version under FULL_TRANSITIVE; safe to repeat."""
    given = settings.of_running_stack()
    for subject in publish.register(given.registry_url, given.topic_prefix) or ["nothing new to register"]:
        typer.echo(subject)


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


def _print_changes(changes: list[TopicChange]) -> None:
    for change in changes:
        typer.echo(f"{change.action:9} {change.name}: {change.detail}")
    if not changes:
        typer.echo(_NO_CHANGES)
