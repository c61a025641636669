"""What happened to an order: its events page by page, and as they come."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event

from query_side import queries
from query_side.api.answers import LINK, described, json
from query_side.api.conditions import refuse
from query_side.api.direct import QueryRoute
from query_side.api.models import MAX_VERSION, ChangesParameters, EventsBody, EventsParameters
from query_side.api.orders import OrderId, link_to_next, no_order
from query_side.changes import Changes

router = APIRouter(tags=["timeline"], route_class=QueryRoute)

_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "the last version that the client has; it goes before `after`",
    "schema": {"type": "integer"},
}
_RETRY_MS = 1_000
_STREAMED = {
    200: {"description": "A stream of events: id is the order's version", "content": {"text/event-stream": {}}}
}


@router.get("/orders/{order_id}/events", response_model=EventsBody, **described(404, 422, 503, headers=LINK))
async def get_events(request: Request, order_id: OrderId, parameters: Annotated[EventsParameters, Query()]) -> Response:
    """Every event of an order, the first first."""
    after, limit = parameters.after, parameters.limit
    version, answer = await queries.events(request.app.state.database, order_id, after, limit + 1)
    if not version:
        return no_order(request, order_id, answer.position)
    page, headers, next_after = answer.rows[:limit], {"Orderlog-Position": answer.position}, None
    if len(answer.rows) > limit:
        next_after = page[-1]["version"]
        headers |= link_to_next(request, after=next_after)
    rest = msgspec.json.encode({"order_id": order_id, "version": version, "next_after": next_after})
    events = ",".join(row["body"] for row in page)
    return json(f'{{"events":[{events}],{rest[1:].decode()}', headers)


@router.get(
    "/orders/{order_id}/changes",
    response_model=None,
    **described(404, 422, 503, takes=(_LAST_EVENT_ID,), responses=_STREAMED),
)
async def get_changes(
    request: Request, order_id: OrderId, parameters: Annotated[ChangesParameters, Query()]
) -> Response:
    """An order's events as server-sent events, from the first or from the one behind Last-Event-ID, as they come."""
    after = _last_event_id(request)
    answer = await request.app.state.orders.get(order_id)
    if not answer.rows:
        return no_order(request, order_id, answer.position)
    stream = _stream(request.app.state.changes, order_id, parameters.after if after is None else after)
    # A proxy that collects the answer first would keep the events from the client.
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", "Orderlog-Position": answer.position}
    return EventSourceResponse(stream, headers=headers)


async def _stream(changes: Changes, order_id: UUID, after: int) -> AsyncIterator[bytes]:
    yield format_sse_event(comment="an order's events as they come", retry=_RETRY_MS)
    async for rows in changes.follow(order_id, after):
        for row in rows:
            yield format_sse_event(event=row["type"], data_str=row["body"], id=str(row["version"]))
        if not rows:
            yield KEEPALIVE_COMMENT


def _last_event_id(request: Request) -> int | None:
    given = request.headers.get("last-event-id", "").strip()
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and int(given) <= MAX_VERSION):
        refuse(("header", "Last-Event-ID"), f"{given[:20]!r} is no version of an order; send the id of the last event")
    return int(given)
