"""`orderlog topics`: the catalogue, what a cluster lacks of it, and the same for tools."""

import asyncio
import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cli import settings
from eventlog import topic_admin
from eventlog.settings import Settings
from eventlog.topic_plan import Plan, Setting, TopicChange
from schemas import asyncapi as asyncapi_document
from schemas import catalogue_page
from schemas.topics import CATALOGUE

topics = typer.Typer(help="The Kafka topics of the catalogue.", no_args_is_help=True)

_TABLE_WIDTH = 200  # a narrower terminal would hide values
_NO_CHANGES = "nothing to change: the topics are as the catalogue says"

AsJson = Annotated[bool, typer.Option("--json", help="JSON, for programs")]


@topics.command("list")
def list_topics(
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="the page docs/reference/topics.md")] = False,
) -> None:
    """List the catalogue: each topic's owner, pattern, key, schema, how long it is kept, partitions, readers, purpose.

    Needs no cluster; names and partitions are those of the settings.
    """
    if markdown:
        typer.echo(catalogue_page.markdown(), nl=False)
        return
    given = settings.of_running_stack()
    if as_json:
        typer.echo(json.dumps({"topics": _catalogue(given)}, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in (*catalogue_page.HEADINGS, "purpose"):
        table.add_column(heading, no_wrap=heading in ("topic", "owner", "readers"))
    for topic in CATALOGUE:
        _, *others, readers = catalogue_page.cells(topic, given.partitions)
        table.add_row(given.topic(topic.name), *others, readers.replace(", ", "\n"), topic.reason)
    Console(width=max(Console().width, _TABLE_WIDTH), markup=False, highlight=False).print(table)


@topics.command()
def plan(as_json: AsJson = False) -> None:
    """Show what `topics apply` would create or change, setting by setting, and what it would not.

    Never a topic's partitions: keys would move, and be read out of order. Exit code 2 when the cluster has others.
    """
    _print_plan(asyncio.run(topic_admin.plan(settings.of_running_stack())), as_json=as_json)


@topics.command()
def apply(as_json: AsJson = False) -> None:
    """Do what `topics plan` shows: create missing topics, mend settings; safe to repeat. Deletes nothing."""
    _print_plan(asyncio.run(topic_admin.apply(settings.of_running_stack())), as_json=as_json)


@topics.command()
def asyncapi(as_json: Annotated[bool, typer.Option("--json", help="JSON instead of YAML")] = False) -> None:
    """Print the AsyncAPI 3 document of the catalogue, with the settings' addresses. Needs no cluster."""
    document = asyncapi_document.document(settings.of_running_stack())
    if as_json:
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    import yaml  # type: ignore[import-untyped]  # slow to import, and of no use to any other verb

    document = json.loads(json.dumps(document))  # shared parts apart, or YAML would have anchors for them
    typer.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120), nl=False)


def _catalogue(given: Settings) -> list[dict[str, Any]]:
    return [
        {
            "name": given.topic(topic.name),
            "owner": topic.owner,
            "pattern": topic.pattern.value,
            "key": topic.key,
            "schemas": list(topic.schemas),
            "kept": catalogue_page.kept(topic),
            "partitions": topic.partitions or given.partitions,
            "config": dict(topic.config),
            "readers": list(topic.readers),
            "purpose": topic.reason,
        }
        for topic in CATALOGUE
    ]


def _print_plan(shown: Plan, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_as_dict(shown), indent=2))
        return
    for change in shown.changes:
        typer.echo(_sentence(change))
    for note in shown.notes:
        typer.echo(f"! note       {note}")
    for name in shown.unknown:
        typer.echo(f"? not in the catalogue, left alone: {name}")
    if not shown.changes:
        typer.echo(_NO_CHANGES)


def _as_dict(shown: Plan) -> dict[str, Any]:
    changes = [
        {"topic": change.name, "action": change.action, "settings": [asdict(setting) for setting in change.settings]}
        for change in shown.changes
    ]
    return {"changes": changes, "notes": list(shown.notes), "not_in_catalogue": list(shown.unknown)}


def _sentence(change: TopicChange) -> str:
    if change.action == "create":
        settings_of_it = ", ".join(f"{one.name} {_value(one.name, one.new)}" for one in change.settings)
        return f"+ create     {change.name}: {settings_of_it}"
    lines = [f"    {one.name}: {_old(one)} -> {_value(one.name, one.new)}" for one in change.settings]
    return "\n".join([f"~ configure  {change.name}:", *lines])


def _old(setting: Setting) -> str:
    return _value(setting.name, setting.old) if setting.old else "nothing"


def _value(name: str, value: str) -> str:
    """The value; of a duration, what it comes to as well."""
    if not name.endswith(".ms"):
        return value
    return f"{value} ({catalogue_page.in_words(int(value))})"
