"""A rebuild on the terminal: a bar with events, percentage, rate and time left; or a JSON object a line."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from projections.rebuild.standing import Standing

_LINE_EVERY_S = 1.0
_PHASES = {
    "events": "folding the log",
    "indexes": "making indexes",
    "swap": "catching up, to swap",
    "hand-over": "workers change over",
    "done": "done",
}


class Shown:
    """Where standings are shown while it is `open`; with `partitions`, each partition's too."""

    def __init__(self, console: Console, *, as_json: bool, partitions: bool) -> None:
        self._console = console
        self._as_json = as_json
        self._partitions = partitions
        self._said: tuple[str, float] = ("", 0.0)
        self._bar: Progress | None = None

    @contextmanager
    def open(self) -> Iterator[None]:
        """Show what `tell` is told."""
        if self._as_json or not self._console.is_terminal:
            yield
            return
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[about]}"))
        with Progress(*columns, console=self._console, transient=True) as self._bar:
            yield
        self._bar = None

    def tell(self, standing: Standing) -> None:
        """Show it; without a bar, a line a second, and one for each new phase."""
        if self._bar:
            self._draw(self._bar, standing)
            return
        phase, at = self._said
        now = time.monotonic()
        if standing.phase == phase and now - at < _LINE_EVERY_S:
            return
        self._said = (standing.phase, now)
        if self._as_json:
            typer.echo(json.dumps(self._as_dict(standing)))
        elif standing.phase != phase:
            self._console.print(f"… {standing.projection}: {_PHASES[standing.phase]}", highlight=False)

    def _draw(self, bar: Progress, standing: Standing) -> None:
        of = f"{standing.projection} g{standing.generation}"
        rows = {of: (standing.done, standing.total, about(standing))}
        if self._partitions:
            rows |= {f"  partition {p}": (*at, _events(*at)) for p, at in (standing.partitions or {}).items()}
        known = {task.description: task.id for task in bar.tasks}
        for name, (done, total, text) in rows.items():
            if name not in known:
                known[name] = bar.add_task(name, about="")
            bar.update(known[name], completed=done, total=max(total, 1), about=text)

    def _as_dict(self, standing: Standing) -> dict[str, object]:
        shown = standing.as_dict()
        return shown if self._partitions else {k: v for k, v in shown.items() if k != "partitions"}


def about(standing: Standing) -> str:
    """How far it is, in a line."""
    left = "" if standing.left_s is None or not standing.left else f", {_time(standing.left_s)} left"
    far = f"{standing.percent:.1f} % of {_events(standing.done, standing.total)}"
    return f"{_PHASES[standing.phase]}: {far}, {standing.rate:,.0f}/s{left}"


def _events(done: int, total: int) -> str:
    return f"{done:,} / {total:,}"


def _time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
