"""Progress of long work: steps as lines, downloads and records as bars with rate and time left, or as JSON lines."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from local_stack.progress import Advance

Tell = Callable[[str, int, int], None]
"""Told what is being done, how many records of it are done, and how many there are."""

_JSON_EVERY_S = 1.0


class OnConsole:
    """local_stack.progress.Progress on a rich console."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def step(self, text: str) -> None:
        """Print the step."""
        self._console.print(f"… {text}", highlight=False)

    @contextmanager
    def download(self, name: str, total_bytes: int) -> Iterator[Advance]:
        """Show a bar while the download lasts; without a terminal, one line."""
        if not self._console.is_terminal:
            self.step(f"downloading {name}, {total_bytes / 2**20:.0f} MB")
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
        with Progress(
            *columns, TransferSpeedColumn(), TimeRemainingColumn(), console=self._console, transient=True
        ) as bar:
            task = bar.add_task(f"downloading {name}", total=total_bytes or None)
            yield lambda size: bar.advance(task, size)


@contextmanager
def counting(*, as_json: bool) -> Iterator[Tell]:
    """Show how many records are done, at which rate, and the time left: a bar on a terminal, else JSON lines if asked.

    JSON goes to standard output, at most a line a second.
    """
    began: dict[str, float] = {}
    if as_json:
        yield lambda what, done, total: _tell_as_json(began, what, done, total)
        return
    console = Console(stderr=True)
    rate = TextColumn("{task.fields[rate]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        tasks = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what], began[what] = bar.add_task(what, rate=""), time.monotonic()
            per_s = done / max(time.monotonic() - began[what], 1e-9)
            bar.update(tasks[what], completed=done, total=total, rate=f"{per_s:,.0f}/s")

        yield tell


def _tell_as_json(began: dict[str, float], what: str, done: int, total: int) -> None:
    now = time.monotonic()
    first = began.setdefault(what, now)
    if now - began.get(f"{what} told", -_JSON_EVERY_S) < _JSON_EVERY_S and done < total:
        return
    began[f"{what} told"] = now
    rate = done / (now - first) if now > first else None
    left_s = (total - done) / rate if rate else None
    typer.echo(json.dumps({"progress": what, "done": done, "total": total, "per_s": rate, "left_s": left_s}))
