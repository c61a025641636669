"""`orderlog rebuild`: any view again from the log, while the live one serves."""

from typing import Annotated
from uuid import UUID

import typer

from schemas.errors import BadInput

EPILOG = "Exit codes: 0 done, 1 not finished (the same command goes on where it was), 2 not possible as asked for."

_AS_OF = (
    "make the view as it was then, in a schema beside, whose name is printed: a time (2026-11-25T08:00:00Z), or "
    "positions (3:1207,4:88; partitions that are not named, as they are now)"
)

View = Annotated[str | None, typer.Argument(help="orders or sales")]
Everything = Annotated[bool, typer.Option("--all", help="every view, one after the other")]
Jobs = Annotated[int | None, typer.Option(min=1, max=64, help="worker processes; one per core when not given")]
Order = Annotated[UUID | None, typer.Option(help="only this order's rows, in the live generation")]
AsOf = Annotated[str | None, typer.Option(help=_AS_OF)]
DropAside = Annotated[bool, typer.Option("--drop-aside", help="remove what --as-of made of the view")]
Rollback = Annotated[bool, typer.Option("--rollback", help="bring back the generation that was replaced last")]
Cancel = Annotated[bool, typer.Option("--cancel", help="give the rebuild up; nothing is left of it")]
Watch = Annotated[bool, typer.Option("--watch", help="show the rebuild that another process is at")]
Background = Annotated[bool, typer.Option("--background", help="start it and return")]
Parked = Annotated[
    bool, typer.Option("--accept-parked", help="swap though more orders are parked than in the live generation")
]
Partitions = Annotated[bool, typer.Option("--partitions", help="show each partition")]
AsJson = Annotated[bool, typer.Option("--json", help="progress and outcome as JSON, an object a line")]


def rebuild(
    view: View = None,
    everything: Everything = False,
    jobs: Jobs = None,
    order: Order = None,
    as_of: AsOf = None,
    drop_aside: DropAside = False,
    rollback: Rollback = False,
    cancel: Cancel = False,
    watch: Watch = False,
    background: Background = False,
    accept_parked: Parked = False,
    partitions: Partitions = False,
    as_json: AsJson = False,
) -> None:
    """Make a view anew from the log, beside the live one, and swap it in; readers and live workers go on.

    Interrupted at whatever moment, the same command goes on where it was.
    """
    given = {
        "--order": order,
        "--as-of": as_of,
        "--drop-aside": drop_aside,
        "--rollback": rollback,
        "--cancel": cancel,
        "--watch": watch,
        "--background": background,
    }
    chosen = [name for name, value in given.items() if value]
    if chosen == ["--rollback", "--background"]:
        chosen = ["--background"]
    if len(chosen) > 1:
        raise BadInput(f"{chosen[0]} and {chosen[1]} do not go together")
    if (view is None) != everything:
        raise BadInput("name one view, or say --all")
    if everything and chosen:
        raise BadInput(f"{chosen[0]} is for one view: name it")
    from cli.rebuild.doing import Doing  # half of what all verbs would take to start

    doing = Doing(view, jobs, accept_parked=accept_parked, partitions=partitions, as_json=as_json)
    match chosen:
        case ["--order"]:
            assert order is not None
            doing.remake(order)
        case ["--as-of"]:
            assert as_of is not None
            doing.look_at(as_of)
        case ["--drop-aside"]:
            doing.drop_aside()
        case ["--rollback"]:
            doing.take_back()
        case ["--cancel"]:
            doing.give_up()
        case ["--watch"]:
            doing.watch()
        case ["--background"]:
            doing.start(rollback=rollback)
        case _:
            doing.rebuild()
