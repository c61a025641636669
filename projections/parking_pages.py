"""The operations API of a worker: what `orderlog dlq` does, over HTTP, for the worker's own projection.

It is the worker's, not the query API's: a redrive writes the view, and queries never do.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, Protocol
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from eventlog.positions import Position
from projections.changelog import TooLarge
from projections.generations import Generation
from projections.pages import Handler, Refused, body_of, problems
from projections.parking_records import Held, NotParked, Selection, as_dict, select, select_parked
from projections.parking_redrive import DiscardRefused, Outcome
from projections.publishing import NotPublished
from projections.table_worker import NotServed
from service.database import Connection, connect


class _Which(BaseModel):
    """A request's body: which events, and how; of some partitions only, if it names any."""

    model_config = ConfigDict(extra="forbid")

    position: str | None = None
    order_id: UUID | None = None
    all: bool = False
    partitions: tuple[int, ...] = ()
    dry_run: bool = False


class _WhichToDiscard(_Which):
    force: bool = False


class WorksOnParked(Protocol):
    """Parking, or TableParking."""

    async def redrive(self, selection: Selection, *, dry_run: bool = False) -> list[Outcome]:
        """See Parking."""

    async def discard(self, selection: Selection, *, force: bool = False, dry_run: bool = False) -> list[Outcome]:
        """See Parking."""


class ParkedPages:
    """`GET /parked`, `GET /parked/{position}`, `POST /parked/redrive`, `POST /parked/discard`, of one generation.

    `parking` makes what works on it over a connection.
    """

    def __init__(
        self, postgres_url: str, generation: Generation, parking: Callable[[Connection], WorksOnParked]
    ) -> None:
        self._postgres_url = postgres_url
        self._generation = generation
        self._parking = parking

    def serve(self, app: web.Application) -> None:
        """Add the pages to `app`."""
        app.router.add_get("/parked", _refusals(self.list))
        app.router.add_get("/parked/{position}", _refusals(self.show))
        app.router.add_post("/parked/redrive", _refusals(self.redrive))
        app.router.add_post("/parked/discard", _refusals(self.discard))

    async def list(self, request: web.Request) -> web.Response:
        """Everything that is parked, in log order."""
        everything = Selection(self._generation.projection, generation=self._generation.number)
        async with await connect(self._postgres_url) as connection:
            parked = await select_parked(connection, everything)
        return web.json_response({"parked": [as_dict(event) for event in parked]})

    async def show(self, request: web.Request) -> web.Response:
        """One parked event, whole."""
        selection = self._selection(_Which(position=request.match_info["position"]))
        async with await connect(self._postgres_url) as connection:
            parked = await select_parked(connection, selection)
        if not parked:
            raise NotParked(f"{selection} is not parked")
        return web.json_response(as_dict(parked[0], whole=True))

    async def redrive(self, request: web.Request) -> web.Response:
        """Apply what is parked; the body says which: `position`, `order_id` or `all`, and `dry_run`."""
        which = _Which.model_validate(await body_of(request))
        async with await connect(self._postgres_url) as connection:
            parking = self._parking(connection)
            return _outcomes(await parking.redrive(self._selection(which), dry_run=which.dry_run))

    async def discard(self, request: web.Request) -> web.Response:
        """Give up what is parked; the body says which, as for a redrive, and whether to `force` it."""
        which = _WhichToDiscard.model_validate(await body_of(request))
        async with await connect(self._postgres_url) as connection:
            parking, selection = self._parking(connection), self._selection(which)
            return _outcomes(await parking.discard(selection, force=which.force, dry_run=which.dry_run))

    def _selection(self, which: _Which) -> Selection:
        asked = select(self._generation.projection, which.position, which.order_id, which.all)
        return replace(asked, partitions=which.partitions, generation=self._generation.number)


def outcome_as_dict(outcome: Outcome) -> dict[str, Any]:
    """An outcome for JSON."""
    shown = asdict(outcome)
    held = shown.pop("held")
    order_id = str(held["order_id"]) if held["order_id"] else None
    position = str(Position(held["partition"], held["offset"]))
    where = {"projection": held["projection"], "generation": held["generation"], "position": position}
    return {**where, "order_id": order_id, **shown}


def outcome_from_dict(shown: dict[str, Any]) -> Outcome:
    """The inverse of `outcome_as_dict`."""
    position, order_id = Position.parse(shown["position"]), shown["order_id"]
    order = UUID(order_id) if order_id else None
    held = Held(shown["projection"], shown["generation"], position.partition, order, position.offset)
    counts = {name: shown[name] for name in ("applied", "discarded", "left", "reason")}
    return Outcome(held, **counts)


def _outcomes(outcomes: list[Outcome]) -> web.Response:
    return web.json_response({"outcomes": [outcome_as_dict(one) for one in outcomes]})


def _refusals(handler: Handler) -> Handler:
    """`handler`, with what is refused of parked events told apart."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except NotParked as error:
            raise Refused(404, "not-parked", "That is not parked", str(error)) from error
        except DiscardRefused as error:
            title = "To discard it would leave its order behind"
            raise Refused(409, "discard-refused", title, str(error)) from error
        except (NotServed, TooLarge, NotPublished) as error:
            raise Refused(503, "unavailable", "Not possible now", str(error)) from error

    return problems(answer)
