"""What `orderlog rebuild` does, by what was asked for."""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import typer
from rich.console import Console

from cli import settings
from cli.errors import INTERRUPTED
from cli.interrupting import interruptible
from cli.rebuild.crew import Processes
from cli.rebuild.showing import Shown
from eventlog.positions import parse_positions
from eventlog.reader import log_ends, offsets_at
from local_stack.services import environment_of, orderlog
from projections.catalogue import REBUILDABLE, refuse_published
from projections.rebuild import verbs
from projections.rebuild.building import Built
from projections.rebuild.one_order import Remake
from projections.rebuild.verbs import Rebuilds
from projections.table_view import AnyView, TableView
from schemas.errors import BadInput, Explained
from schemas.publish import load_codec
from schemas.registry import Registry
from schemas.topics import ORDER_EVENTS
from service import logs
from service.schema_lookup import SchemaLookup

T = TypeVar("T")


class Doing:
    """One call of the verb, for the view of this name, or for all."""

    def __init__(
        self, view: str | None, jobs: int | None, *, accept_parked: bool, partitions: bool, as_json: bool
    ) -> None:
        refuse_published(view)
        if view is not None and view not in REBUILDABLE:
            raise BadInput(f"there is no view {view!r}; there is: {', '.join(REBUILDABLE)}")
        self._views: list[AnyView] = [REBUILDABLE[view]] if view else list(REBUILDABLE.values())
        self._settings = settings.of_running_stack()
        self._jobs = jobs or os.cpu_count() or 1
        self._accept_parked = accept_parked
        self._as_json = as_json
        self._console = Console(stderr=True)
        self._shown = Shown(self._console, as_json=as_json, partitions=partitions)
        # On a terminal the bar says it all; where nobody watches, what a rebuild waits for is logged.
        level = "error" if self._console.is_terminal else "warning"
        logs.configure(self._settings.model_copy(update={"log_level": level}), "rebuild")

    def rebuild(self) -> None:
        """Rebuild each view."""
        for view in self._views:
            self._build(view, lambda rebuilds: rebuilds.rebuild(accept_parked=self._accept_parked))

    def take_back(self) -> None:
        """Bring back the generation that was replaced last."""
        self._build(self._views[0], lambda rebuilds: rebuilds.take_back(accept_parked=self._accept_parked))

    def look_at(self, as_of: str) -> None:
        """Make the view as it was then, beside."""
        view = self._views[0]
        if isinstance(view, TableView):
            raise BadInput(
                f"{view.name} is in RocksDB, where nobody could look at it: --as-of is for views in Postgres"
            )
        ends = self._run(self._ends(as_of))
        self._build(view, lambda rebuilds: rebuilds.look_at(ends))

    def remake(self, order_id: UUID) -> None:
        """Make one order's rows again."""
        schemas = SchemaLookup(Registry(self._settings.registry_url).schema)
        codec = load_codec(self._settings.registry_url, self._settings.topic_prefix, lookup=schemas)
        remake = Remake(self._settings, codec, schemas, self._views[0])
        count = self._run(remake.remake(order_id))
        self._say(f"order {order_id} was made again from {count} events", order_id=str(order_id), events=count)

    def give_up(self) -> None:
        """Have the rebuild given up."""
        generation = self._run(verbs.give_up(self._settings, self._views[0]))
        self._say(f"the rebuild was given up; generation {generation.number} is gone", generation=generation.number)

    def drop_aside(self) -> None:
        """Remove what --as-of made."""
        dropped = self._run(verbs.drop_aside(self._settings, self._views[0]))
        names = [generation.schema for generation in dropped]
        self._say(f"removed: {', '.join(names) or 'there was nothing'}", removed=names)

    def watch(self) -> None:
        """Show the rebuild that another process is at."""
        with self._shown.open():
            ended = self._run(verbs.watch(self._settings, self._views[0], self._shown.tell))
        name, number = self._views[0].name, ended.generation.number
        live = ended.state == "live"
        became = "is live" if live else "was given up"
        self._say(f"{name}: generation {number} {became}", generation=number, live=live)

    def start(self, *, rollback: bool) -> None:
        """Start the rebuild in a process that outlives this one, and return once it is at it."""
        view = self._views[0]
        # One for each: another that is under way writes its own.
        log = self._settings.data_dir.absolute() / "logs" / f"rebuild-{view.name}-{time.time_ns()}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        command = orderlog("rebuild", view.name, "--jobs", str(self._jobs), "--json")
        wanted = {"--accept-parked": self._accept_parked, "--rollback": rollback}
        command += [name for name, value in wanted.items() if value]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment_of(self._settings),
                start_new_session=True,
            )
        builder = self._run(verbs.until_begun(self._settings, view, process.pid, lambda: process.poll() is None))
        if builder is None:
            raise Explained(_last_line(log.read_text(errors="replace")))
        self._say(f"{builder} is at it; watch it with: orderlog rebuild {view.name} --watch", builder=builder)

    def _build(self, view: AnyView, work: Callable[[Rebuilds], Awaitable[Built]]) -> None:
        began = time.monotonic()
        rebuilds = Rebuilds(self._settings, view, Processes(self._settings, self._jobs), self._shown.tell)

        async def built() -> Built:
            return await work(rebuilds)

        with self._shown.open():
            done = self._run(built())
        self._tell(done, time.monotonic() - began)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns; SIGTERM and Ctrl-C end it in good order."""
        with suppress(asyncio.CancelledError):
            return asyncio.run(interruptible(work))
        if not self._as_json:
            self._console.print("interrupted; the same command goes on where it was", highlight=False)
        raise typer.Exit(INTERRUPTED)

    async def _ends(self, as_of: str) -> dict[int, int]:
        """Up to where the log is to be folded. Raises BadInput."""
        where = self._settings.kafka_bootstrap, self._settings.topic(ORDER_EVENTS.name)
        if ":" in as_of and "-" not in as_of:
            try:
                named = parse_positions(as_of)
            except ValueError as error:
                raise BadInput(f"--as-of: {error}") from error
            ends = dict(await log_ends(*where))
            if beyond := {p: offset for p, offset in named.items() if offset >= ends.get(p, 0)}:
                partition, offset = next(iter(beyond.items()))
                raise BadInput(f"--as-of: the log does not reach {partition}:{offset}")
            return ends | {partition: offset + 1 for partition, offset in named.items()}
        try:
            when = datetime.fromisoformat(as_of)
        except ValueError as error:
            raise BadInput(f"--as-of: {as_of!r} is neither a time, such as 2026-11-25T08:00:00Z, nor 3:1207") from error
        if when.tzinfo is None:
            raise BadInput(f"--as-of: {as_of} lacks its time zone: write {as_of}Z for UTC")
        return dict(await offsets_at(*where, when))

    def _tell(self, built: Built, took_s: float) -> None:
        generation, standing = built.generation, built.standing
        values: dict[str, Any] = {
            "projection": generation.projection,
            "generation": generation.number,
            "schema": generation.schema,
            "records": standing.done,
            "seconds": round(took_s, 2),
        }
        name = f"generation {generation.number} of {generation.projection}"
        took = f"{standing.done:,} records in {took_s:.1f} s, {standing.done / took_s:,.0f}/s"
        if built.swapped is None:
            self._say(f"{name} stands beside, in the schema {generation.schema}: {took}", **values)
            return
        readers_s, workers_s = built.swapped.readers_waited_s, built.swapped.workers_waited_s
        values |= {"swap_readers_waited_s": round(readers_s, 4), "swap_workers_waited_s": round(workers_s, 4)}
        self._say(f"{name} is live: {took}; the swap took {workers_s * 1000:.0f} ms", **values)

    def _say(self, text: str, **values: Any) -> None:
        typer.echo(json.dumps(values) if self._as_json else text)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else "the rebuild ended at once").removeprefix("orderlog: ")
