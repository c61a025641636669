"""Orders: one as it is or was, lists, customers."""

from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AfterValidator

from query_side import history, queries
from query_side.api.answers import ETAG, LINK, described, json
from query_side.api.conditions import is_current, refuse
from query_side.api.direct import QueryRoute
from query_side.api.models import (
    CurrencyTotals,
    CustomerBody,
    OrderBody,
    OrderParameters,
    OrdersBody,
    OrdersParameters,
    printable,
    rfc3339,
)
from query_side.cursor import Cursor
from query_side.listing import list_orders, words_of
from query_side.sql import Answer
from service.problems import problem

router = APIRouter(tags=["orders"], route_class=QueryRoute)

OrderId = Annotated[UUID, Path(description="the order's id")]
CustomerId = Annotated[
    str, Path(description="the customer's id", min_length=1, max_length=100), AfterValidator(printable)
]
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "ETag of an answer that the client has",
    "schema": {"type": "string"},
}
_NOT_MODIFIED = {304: {"description": "It still has the version of If-None-Match"}}


@router.get(
    "/orders/{order_id}",
    response_model=OrderBody,
    **described(404, 422, 503, headers=ETAG, takes=(_IF_NONE_MATCH,), responses=_NOT_MODIFIED),
)
async def get_order(request: Request, order_id: OrderId, parameters: Annotated[OrderParameters, Query()]) -> Response:
    """One order as it is now, or as it was after its `version`th event or at the time `as_of`."""
    if parameters.version is not None or parameters.as_of is not None:
        return await _past(request, order_id, parameters)
    answer = await request.app.state.orders.get(order_id)
    if not answer.rows:
        return no_order(request, order_id, answer.position)
    (row,) = answer.rows
    return _order(request, row["version"], row["body"], answer.position)


@router.get("/orders", response_model=OrdersBody, **described(422, 503, headers=LINK))
async def get_orders(request: Request, parameters: Annotated[OrdersParameters, Query()]) -> Response:
    """Orders, page by page; a page begins behind the last order of the one before, whatever came since."""
    database, limit = request.app.state.database, parameters.limit
    words = await words_of(database, parameters.q) if parameters.q else ()
    if parameters.q and not words:
        refuse(("query", "q"), "has neither a letter nor a digit to search for")
    found = await list_orders(database, parameters.filters(words), parameters.sort, parameters.after, limit + 1)
    page, headers, next_cursor = found.answer.rows[:limit], {"Orderlog-Position": found.answer.position}, None
    if len(found.answer.rows) > limit:
        next_cursor = str(Cursor.at(parameters.sort, page[-1]["key"], page[-1]["order_id"]))
        headers |= link_to_next(request, cursor=next_cursor)
    rest = msgspec.json.encode(
        {"total": {"count": found.total, "exact": found.total_is_exact}, "next_cursor": next_cursor}
    )
    orders = ",".join(row["body"] for row in page)
    return json(f'{{"orders":[{orders}],{rest[1:].decode()}', headers)


@router.get(
    "/customers/{customer_id:path}", tags=["customers"], response_model=CustomerBody, **described(404, 422, 503)
)
async def get_customer(request: Request, customer_id: CustomerId) -> Response:
    """What a customer ordered, paid, got back and returned."""
    answer = await queries.customer(request.app.state.database, customer_id)
    headers = {"Orderlog-Position": answer.position}
    if not answer.rows:
        detail = f"the view has no order of {customer_id!r} at {answer.position or 'its beginning'}"
        return problem(request, 404, "customer-not-found", "There is no such customer", detail, headers)
    totals = [CurrencyTotals(**row, revenue=row["paid"] - row["refunded"]) for row in answer.rows]
    body = CustomerBody(
        customer_id=customer_id,
        orders=sum(one.orders for one in totals),
        returned_pieces=sum(one.returned_pieces for one in totals),
        last_order_at=max(one.last_order_at for one in totals),
        totals=totals,
    )
    return json(body.model_dump_json(), headers)


def no_order(request: Request, order_id: UUID, position: str) -> Response:
    """The problem that there is no such order."""
    detail = f"the view has no order {order_id} at {position or 'its beginning'}"
    title, headers = "There is no such order", {"Orderlog-Position": position}
    return problem(request, 404, "order-not-found", title, detail, headers)


def link_to_next(request: Request, **parameters: object) -> dict[str, str]:
    """The header that names the next page: this address with `parameters`."""
    following = request.url.include_query_params(**parameters)
    return {"Link": f'<{following.path}?{following.query}>; rel="next"'}


async def _past(request: Request, order_id: UUID, parameters: OrderParameters) -> Response:
    answer = await queries.history(request.app.state.database, order_id)
    if not answer.rows:
        return no_order(request, order_id, answer.position)
    events = [history.Happened(row["version"], row["type"], row["time"], row["data"]) for row in answer.rows]
    told = history.up_to(events, parameters.version, parameters.as_of)
    if not told or (parameters.version or 0) > events[-1].version:
        return _no_such_state(request, events, parameters, answer)
    then = history.state(str(order_id), told)
    times = {name: rfc3339(then[name]) for name in ("placed_at", "updated_at")}
    body = msgspec.json.encode({**then, **times})
    return _order(request, told[-1].version, body, answer.position)


def _no_such_state(
    request: Request, events: list[history.Happened], parameters: OrderParameters, answer: Answer
) -> Response:
    current = events[-1].version
    detail = f"the order is at version {current}, so there is no version {parameters.version} yet"
    if parameters.as_of is not None:
        detail = f"the order was placed at {rfc3339(events[0].time)}; it is at version {current} now"
    title, headers = "The order had no such state", {"Orderlog-Position": answer.position}
    return problem(request, 404, "version-not-found", title, detail, headers, {"current_version": current})


def _order(request: Request, version: int, body: str | bytes, position: str) -> Response:
    etag = f'"{version}"'
    headers = {"Orderlog-Position": position, "ETag": etag}
    if (known := request.headers.get("if-none-match")) and is_current(known, etag):
        return Response(status_code=304, headers=headers)
    return json(body, headers)
