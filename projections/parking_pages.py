"""The operations API of a worker: what `orderlog dlq` does, over HTTP, for the worker's own projection.

It is the worker's, not the query API's: a redrive writes the view, and queries never do.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any
from uuid import UUID

import psycopg
from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from projections.database import connect
from projections.parking_records import NotParked, Selection, as_dict, select, select_parked
from projections.parking_redrive import DiscardRefused, Outcome, Parking
from projections.schema_lookup import SchemaLookup
from projections.view import View
from schemas.codec import Codec
from schemas.errors import BadInput
from schemas.registry import RegistryUnavailable
from service.problems import MEDIA_TYPE, TYPE

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Which(BaseModel):
    """A request's body: which events, and how."""

    model_config = ConfigDict(extra="forbid")

    position: str | None = None
    order_id: UUID | None = None
    all: bool = False
    dry_run: bool = False


class _WhichToDiscard(_Which):
    force: bool = False


class ParkedPages:
    """`GET /parked`, `GET /parked/{position}`, `POST /parked/redrive`, `POST /parked/discard`."""

    def __init__(self, postgres_url: str, codec: Codec, schemas: SchemaLookup, view: View) -> None:
        self._postgres_url = postgres_url
        self._codec = codec
        self._schemas = schemas
        self._view = view

    def serve(self, app: web.Application) -> None:
        """Add the pages to `app`."""
        app.router.add_get("/parked", _problems(self.list))
        app.router.add_get("/parked/{position}", _problems(self.show))
        app.router.add_post("/parked/redrive", _problems(self.redrive))
        app.router.add_post("/parked/discard", _problems(self.discard))

    async def list(self, request: web.Request) -> web.Response:
        """Everything that is parked, in log order."""
        async with await connect(self._postgres_url) as connection:
            parked = await select_parked(connection, Selection(self._view.name))
        return web.json_response({"parked": [as_dict(event) for event in parked]})

    async def show(self, request: web.Request) -> web.Response:
        """One parked event, whole."""
        selection = select(self._view.name, request.match_info["position"])
        async with await connect(self._postgres_url) as connection:
            parked = await select_parked(connection, selection)
        if not parked:
            raise NotParked(f"{selection} is not parked")
        return web.json_response(as_dict(parked[0], whole=True))

    async def redrive(self, request: web.Request) -> web.Response:
        """Apply what is parked; the body says which: `position`, `order_id` or `all`, and `dry_run`."""
        which = _Which.model_validate(await _body(request))
        async with self._parking() as parking:
            return _outcomes(await parking.redrive(self._selection(which), dry_run=which.dry_run))

    async def discard(self, request: web.Request) -> web.Response:
        """Give up what is parked; the body says which, as for a redrive, and whether to `force` it."""
        which = _WhichToDiscard.model_validate(await _body(request))
        async with self._parking() as parking:
            selection = self._selection(which)
            return _outcomes(await parking.discard(selection, force=which.force, dry_run=which.dry_run))

    def _selection(self, which: _Which) -> Selection:
        return select(self._view.name, which.position, which.order_id, which.all)

    @asynccontextmanager
    async def _parking(self) -> AsyncIterator[Parking]:
        async with await connect(self._postgres_url) as connection:
            yield Parking(connection, self._codec, self._schemas, {self._view.name: self._view})


def outcome_as_dict(outcome: Outcome) -> dict[str, Any]:
    """An outcome for JSON."""
    shown = asdict(outcome)
    held = shown.pop("held")
    order_id = str(held["order_id"]) if held["order_id"] else None
    return {"projection": held["projection"], "generation": held["generation"], "order_id": order_id, **shown}


def _outcomes(outcomes: list[Outcome]) -> web.Response:
    return web.json_response({"outcomes": [outcome_as_dict(one) for one in outcomes]})


async def _body(request: web.Request) -> Any:
    if request.content_type != "application/json":
        raise BadInput("send Content-Type: application/json")
    try:
        return await request.json()
    except json.JSONDecodeError as error:
        raise BadInput(f"the body is not JSON: {error}") from error


def _problems(handler: Handler) -> Handler:
    """`handler`, its errors as RFC 9457 problems."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except NotParked as error:
            return _problem(request, 404, "not-parked", "That is not parked", str(error))
        except DiscardRefused as error:
            return _problem(request, 409, "discard-refused", "To discard it would leave its order behind", str(error))
        except ValidationError as error:
            first = error.errors()[0]
            detail = f"body.{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
            return _problem(request, 422, "invalid-request", "The request has invalid fields", detail)
        except BadInput as error:
            return _problem(request, 422, "invalid-request", "The request has invalid fields", str(error))
        except (psycopg.Error, RegistryUnavailable) as error:
            return _problem(request, 503, "unavailable", "Not possible now", " ".join(str(error).split()))

    return answer


def _problem(request: web.Request, status: int, slug: str, title: str, detail: str) -> web.Response:
    body = {"type": TYPE + slug, "title": title, "status": status, "detail": detail, "instance": request.path}
    return web.json_response(body, status=status, content_type=MEDIA_TYPE)
