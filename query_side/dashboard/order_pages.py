"""Searching orders, and one order through its life."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from query_side import history, queries
from query_side.api.models import OrdersParameters
from query_side.dashboard.differences import changes
from query_side.dashboard.rendering import page
from query_side.dashboard.routes import board_of, live_page
from query_side.dashboard.shapes import timeline
from query_side.database import Unavailable
from query_side.history import Happened
from query_side.listing import list_orders, words_of

router = APIRouter(prefix="/dashboard", include_in_schema=False)

_ON_A_PAGE = 25
_IN_THE_PICTURE = 40
_FIELDS = ("q", "customer_id", "status", "sku")


@router.get("/orders")
async def orders(request: Request) -> Response:
    """Sales at a glance, and orders that are looked for."""
    given = {name: request.query_params.get(name, "").strip() for name in _FIELDS}
    found, why = await _search(request, {name: value for name, value in given.items() if value})
    return await live_page(request, "orders", found=found, search_why=why, given=given)


@router.get("/orders/{order_id}")
async def order(request: Request, order_id: str) -> Response:
    """One order as of a version, and what the event that made it changed."""
    try:
        wanted = UUID(order_id)
        events = await _events(request, wanted)
    except ValueError:
        return _no("There is no such order", f"{order_id!r} is no order's id: it is a UUID.", 404)
    except Unavailable as error:
        return _no("The views cannot be read now", str(error), 503)
    if not events:
        return _no("There is no such order", f"The view has no order {wanted}.", 404)
    given = request.query_params.get("version", str(events[-1].version))
    index = int(given) - 1 if given.isascii() and given.isdigit() and len(given) < 10 else -1
    if not 0 <= index < len(events):
        return _no("The order had no such state", f"The order has versions 1 to {events[-1].version}.", 404)
    after = history.state(str(wanted), events[: index + 1])
    before = history.state(str(wanted), events[:index]) if index else None
    first = max(0, min(index - _IN_THE_PICTURE // 2, len(events) - _IN_THE_PICTURE))
    return page(
        "order.html.j2",
        "orders",
        order=after,
        event=events[index],
        last=events[-1].version,
        changes=changes(before, after),
        picture=timeline(events[first : first + _IN_THE_PICTURE]),
    )


async def _events(request: Request, order_id: UUID) -> Sequence[Happened]:
    answer = await queries.history(board_of(request).database, order_id)
    return [Happened(row["version"], row["type"], row["time"], row["data"]) for row in answer.rows]


async def _search(request: Request, given: Mapping[str, str]) -> tuple[list[dict[str, Any]], str]:
    """The newest orders that fit, and why there are none to show."""
    database = board_of(request).database
    try:
        if (order_id := _as_id(given.get("q", ""))) is not None:
            rows = (await queries.orders(database, [order_id]))[order_id].rows
        else:
            values = {name: [value] if name == "status" else value for name, value in given.items()}
            parameters = OrdersParameters.model_validate(values)
            words = await words_of(database, parameters.q) if parameters.q else ()
            if parameters.q and not words:
                return [], "q has neither a letter nor a digit to search for"
            filters = parameters.filters(words)
            rows = (await list_orders(database, filters, parameters.sort, None, _ON_A_PAGE)).answer.rows
    except ValidationError as error:
        return [], "; ".join(f"{one['loc'][0]}: {one['msg']}" for one in error.errors()[:3])
    except Unavailable as error:
        return [], str(error)
    return [msgspec.json.decode(row["body"]) for row in rows], "" if rows else "No order fits."


def _as_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _no(title: str, text: str, status: int) -> Response:
    return page("message.html.j2", "orders", status, title=title, text=text)
