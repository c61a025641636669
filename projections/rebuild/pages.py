"""The operations API of a worker for rebuilds of its projection: what `orderlog rebuild` does, over HTTP.

A rebuild is a process of its own, as if somebody had called the command: it outlives this worker, which begins
again when the new generation is swapped in.
"""

import asyncio
import sys
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from eventlog.settings import Settings
from projections.pages import Refused, body_of, problems
from projections.rebuild import records, verbs
from projections.rebuild.records import Record
from projections.table_view import AnyView
from service.database import connect

_BAD_INPUT = 2


class _How(BaseModel):
    """A request's body: how many processes, what is new or what was replaced last, parked orders or not."""

    model_config = ConfigDict(extra="forbid")

    jobs: int | None = Field(None, ge=1, le=64)
    rollback: bool = False
    accept_parked: bool = False


class RebuildPages:
    """`GET /rebuild`, `POST /rebuild`, `DELETE /rebuild`."""

    def __init__(self, settings: Settings, view: AnyView) -> None:
        self._settings = settings
        self._view = view

    def serve(self, app: web.Application) -> None:
        """Add the pages to `app`."""
        app.router.add_get("/rebuild", problems(self.show))
        app.router.add_post("/rebuild", problems(self.start))
        app.router.add_delete("/rebuild", problems(self.cancel))

    async def show(self, request: web.Request) -> web.Response:
        """The rebuild that is under way, null when none is; and every generation there is."""
        async with await connect(self._settings.postgres_url) as connection:
            found = await records.records(connection, self._view.name)
            free = await records.is_free(connection, self._view.name)
        building = next((one for one in found if one.state == "building"), None)
        rebuild = {**_progress(building), "builder": None if free else building.builder} if building else None
        return web.json_response({"rebuild": rebuild, "generations": [_generation(one) for one in found]})

    async def start(self, request: web.Request) -> web.Response:
        """Begin one, or go on with the one that was interrupted; 202 once it is under way."""
        how = _How.model_validate(await body_of(request) if request.body_exists else {})
        options = ["--jobs", str(how.jobs)] if how.jobs else []
        options += [f"--{name.replace('_', '-')}" for name in ("rollback", "accept_parked") if getattr(how, name)]
        command = ("-m", "cli.main", "rebuild", self._view.name, "--background", *options)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=pipe, stderr=pipe)
        _, said = await process.communicate()
        if process.returncode:
            reason = (said.decode(errors="replace").strip().splitlines() or ["it ended at once"])[-1]
            status = 422 if process.returncode == _BAD_INPUT else 409
            raise Refused(status, "rebuild-refused", "The rebuild was not begun", reason.removeprefix("orderlog: "))
        answer = await self.show(request)
        answer.set_status(202)
        return answer

    async def cancel(self, request: web.Request) -> web.Response:
        """Give it up; answers once nothing is left of it."""
        async with await connect(self._settings.postgres_url) as connection:
            if await records.newest(connection, self._view.name, "building") is None:
                raise Refused(404, "no-rebuild", "There is no rebuild", f"nothing rebuilds {self._view.name}")
        generation = await verbs.give_up(self._settings, self._view)
        return web.json_response({"generation": generation.number})


def _progress(record: Record) -> dict[str, Any]:
    if record.standing is None:
        return {"projection": record.generation.projection, "generation": record.generation.number}
    return record.standing.as_dict()


def _generation(record: Record) -> dict[str, Any]:
    number, changed_at = record.generation.number, record.changed_at.isoformat()
    return {"generation": number, "version": record.version, "state": record.state, "changed_at": changed_at}
