"""`orderlog serve`, `orderlog project`, `orderlog subscribe`: one service as this process."""

from enum import StrEnum
from typing import Annotated, assert_never

import typer

from cli import settings


class Api(StrEnum):
    """The HTTP services."""

    COMMAND = "command-api"
    QUERY = "query-api"
    MAILBOX = "mailbox"


def serve(api: Annotated[Api, typer.Argument(help="which HTTP service")]) -> None:
    """Serve the command API, the query API or the local mailbox until SIGTERM or Ctrl-C."""
    # Imported here: each service, and every other verb, does without the others' libraries.
    match api:
        case Api.COMMAND:
            from command_side import bootstrap as command_api

            command_api.serve(settings.of_running_stack())
        case Api.QUERY:
            from query_side import bootstrap as query_api

            query_api.serve(settings.of_running_stack())
        case Api.MAILBOX:
            from local_stack.mailbox import app as mailbox

            mailbox.serve(settings.of_running_stack())
        case _:
            assert_never(api)


def project(
    projection: Annotated[str, typer.Argument(help="name of the view, such as orders")],
    generation: Annotated[
        int | None, typer.Option(help="build this generation, as `orderlog rebuild` does; not the live one")
    ] = None,
) -> None:
    """Keep one view up to date until SIGTERM or Ctrl-C; several of these share its partitions."""
    from projections import bootstrap

    bootstrap.run(projection, settings.of_running_stack(), generation)


def subscribe(subscriber: Annotated[str, typer.Argument(help="its name, such as inventory")]) -> None:
    """Run one subscriber of the public events until SIGTERM or Ctrl-C; several of one share its partitions."""
    from subscribers import bootstrap

    bootstrap.run(subscriber, settings.of_running_stack())
