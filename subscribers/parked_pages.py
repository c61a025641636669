"""The operations API of a subscriber: what `orderlog dlq` does, over HTTP, for itself. Not meant for the public."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any
from uuid import UUID

import psycopg
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from schemas.errors import BadInput, Explained
from service import problems
from service.database import connect
from subscribers.parked_records import NothingParked, Which, as_dict, select_messages, select_tasks
from subscribers.redrive import DeadLetters, Outcome, open_dead_letters
from subscribers.subscription import Subscription

router = APIRouter(prefix="/parked", tags=["operations"])


class WhichParked(BaseModel):
    """Which of what is parked: exactly one of `event_id`, `order_id`, `all`."""

    model_config = ConfigDict(extra="forbid")

    event_id: str | None = None
    order_id: UUID | None = None
    all: bool = False
    dry_run: bool = False

    def of(self, subscriber: str) -> Which:
        """The same, of one subscriber. Raises BadInput."""
        if (self.event_id is not None) + (self.order_id is not None) + self.all != 1:
            raise BadInput("say exactly one of event_id, order_id and all")
        return Which(subscriber, self.event_id, self.order_id)


@router.get("")
async def parked(request: Request) -> Response:
    """Everything that is parked, in sequence, and every task that is dead."""
    settings, subscription = _about(request)
    everything = Which(subscription.name)

    async def found() -> dict[str, Any]:
        async with await connect(settings.postgres_url) as connection:
            messages = await select_messages(connection, everything)
            tasks = await select_tasks(connection, everything)
        return {"parked": [*map(as_dict, messages), *map(as_dict, tasks)]}

    return await _answer(request, found)


@router.post("/redrive")
async def redrive(request: Request, which: WhichParked) -> Response:
    """Handle it again; `dry_run` takes it back."""

    async def work(letters: DeadLetters, chosen: Which) -> list[Outcome]:
        return await letters.redrive(chosen, dry_run=which.dry_run)

    return await _worked(request, which, work)


@router.post("/discard")
async def discard(request: Request, which: WhichParked) -> Response:
    """Give it up for good; `dry_run` takes it back."""

    async def work(letters: DeadLetters, chosen: Which) -> list[Outcome]:
        return await letters.discard(chosen, dry_run=which.dry_run)

    return await _worked(request, which, work)


async def _worked(
    request: Request, which: WhichParked, work: Callable[[DeadLetters, Which], Awaitable[list[Outcome]]]
) -> Response:
    settings, subscription = _about(request)

    async def done() -> dict[str, Any]:
        async with open_dead_letters(settings, {subscription.name: subscription}) as letters:
            return {"outcomes": [asdict(one) for one in await work(letters, which.of(subscription.name))]}

    return await _answer(request, done)


async def _answer(request: Request, work: Callable[[], Awaitable[dict[str, Any]]]) -> Response:
    try:
        return JSONResponse(await work())
    except NothingParked as error:
        return problems.problem(request, 404, "not-parked", "That is not parked", str(error))
    except BadInput as error:
        return problems.problem(request, 422, "invalid-request", "The request has invalid fields", str(error))
    except (psycopg.Error, Explained) as error:
        detail = " ".join(str(error).split()) or type(error).__name__
        return problems.problem(request, 503, "unavailable", "Not possible now", detail)


def _about(request: Request) -> tuple[Any, Subscription]:
    return request.app.state.settings, request.app.state.subscription
