"""`orderlog import FILE`: read, send, show how far it is, and say what became of it."""

import asyncio
import json
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from cli import settings
from cli.errors import FAILED, INTERRUPTED
from cli.order_import.files import Format, OrderFile
from cli.order_import.keys import Keys
from cli.order_import.orders import Unreadable
from cli.order_import.rejects import Rejects
from cli.order_import.sending import Accepted, AlreadyThere, Fate, Keyed, Rejected, Sender
from schemas.errors import BadInput

_REFRESH_S = 0.2
_UNREADABLE = {"type": "urn:orderlog:problem:unreadable-order", "title": "The order cannot be read", "status": 422}


def import_orders(
    file: Annotated[Path, typer.Argument(help="NDJSON (.ndjson, .jsonl) or CSV (.csv); - reads standard input")],
    format_: Annotated[
        Format | None, typer.Option("--format", help="the file's format, when its name does not say")
    ] = None,
    rejected: Annotated[
        Path | None, typer.Option(help="where rejected orders go; default is FILE.rejected.ndjson")
    ] = None,
    to: Annotated[str | None, typer.Option(help="URL of the command API; default from the settings")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the summary as JSON")] = False,
) -> None:
    """Place the orders of a file; safe to interrupt and to repeat, nothing is doubled.

    NDJSON: a line is a body of POST /orders.

    CSV: the first line names the columns. A row is a line item (sku, quantity, unit_price; rows of one order stand
    together and have the same order_id or order_ref) or a whole order (lines, as in "TEA-EARL-GREY-100*2@499;
    CUP-WHITE*4@1250"). Both have customer_id, email, currency, name, street, city, postal_code, country, and may have
    order_id, order_ref, placed_at. Prices are in minor units: 499 is 4.99.

    Rejected orders are written down with the reason; mend them there and import that file. An order without an id is
    known by its content. Exit code 0: all are in; 1: some were rejected; 2: the file cannot be read.
    """
    given = settings.of_running_stack()
    url = to or f"http://{given.command_api_host}:{given.command_api_port}"
    if not url.startswith(("http://", "https://")):
        raise BadInput(f"--to {url} is no URL; write one such as http://127.0.0.1:8000")
    work = Import(OrderFile(file, format_), Rejects(_rejects_of(file, rejected)), Console(stderr=True))
    try:
        asyncio.run(work.run(url))
    except KeyboardInterrupt:
        # What the interruption came before is no bug to tell people of as the process ends.
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        typer.echo("orderlog: interrupted; run the same command again to go on, nothing is doubled", err=True)
        raise typer.Exit(INTERRUPTED) from None
    finally:
        work.rejects.close()
    typer.echo(json.dumps(work.summary()) if as_json else work.told())
    if work.rejects.count:
        raise typer.Exit(FAILED)


def _rejects_of(file: Path, given: Path | None) -> Path:
    name = Path("standard-input") if str(file) == "-" else file
    rejects = given or name.with_name(f"{name.name}.rejected.ndjson")
    if rejects.absolute() == file.absolute():
        raise BadInput(f"--rejected {rejects} is the file that is imported; name another")
    return rejects


@dataclass(slots=True)
class Import:
    """One run: what was read of `source`, and what became of it."""

    source: OrderFile
    rejects: Rejects
    console: Console
    accepted: int = 0
    already_there: int = 0
    began: float = field(default_factory=time.monotonic)
    waiting: str = ""

    @property
    def done(self) -> int:
        """Orders that have their fate."""
        return self.accepted + self.already_there + self.rejects.count

    @property
    def rate(self) -> float:
        """Orders per second, from the start until now."""
        return self.done / max(time.monotonic() - self.began, 1e-9)

    async def run(self, url: str) -> None:
        """Read all and send it, with a bar on a terminal; returns when every order has its fate."""
        sender = Sender(url, self._settled, self._explain)
        with Keys() as keys, self._bar() as bar:
            task = bar.add_task("import", total=self.source.total_bytes, about="")
            sending = asyncio.create_task(sender.send_all(self._orders(keys)))
            while not (await asyncio.wait({sending}, timeout=_REFRESH_S))[0]:
                bar.update(task, completed=self.source.read_bytes(), about=self._about())
            await sending

    def _bar(self) -> Progress:
        """How far the file was read, the time left by that, what became of the orders, and the rate."""
        about = TextColumn("{task.fields[about]}")
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), about)
        return Progress(*columns, console=self.console, disable=not self.console.is_terminal, transient=True)

    def summary(self) -> dict[str, object]:
        """What became of it, for programs."""
        return {
            "accepted": self.accepted,
            "already_there": self.already_there,
            "rejected": self.rejects.count,
            "rejected_file": str(self.rejects.path) if self.rejects.count else None,
            "orders_per_second": round(self.rate, 1),
        }

    def told(self) -> str:
        """What became of it, for people."""
        known = f", {self.already_there:,} were there already" if self.already_there else ""
        refused = f", {self.rejects.count:,} rejected: see {self.rejects.path}" if self.rejects.count else ""
        return f"{self.accepted:,} orders are in the log{known}{refused}; {self.rate:,.0f}/s"

    def _about(self) -> str:
        refused = f", {self.rejects.count:,} rejected" if self.rejects.count else ""
        waiting = f"; waiting: {self.waiting}" if self.waiting else ""
        return f"{self.done:,} orders{refused}, {self.rate:,.0f}/s{waiting}"

    def _orders(self, keys: Keys) -> Iterator[Keyed]:
        for found in self.source.orders():
            if isinstance(found, Unreadable):
                self.rejects.add(found.line, {**_UNREADABLE, "detail": found.reason}, found.content)
            else:
                yield Keyed(found.line, keys.of(found), found.body, found.named)

    def _settled(self, order: Keyed, fate: Fate) -> None:
        self.waiting = ""
        match fate:
            case Accepted():
                self.accepted += 1
            case AlreadyThere():
                self.already_there += 1
            case Rejected(problem):
                self.rejects.add(order.line, problem, order.body)

    def _explain(self, reason: str) -> None:
        if not self.waiting and not self.console.is_terminal:
            self.console.print(f"… waiting: {reason}", highlight=False, soft_wrap=True)
        self.waiting = reason
