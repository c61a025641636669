"""Routes of the query API."""

import asyncio
from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from aiokafka.errors import KafkaError
from fastapi import APIRouter, Depends, Header, Query, Request, Response

from eventlog.reader import log_ends
from query_side import queries
from query_side.api.conditions import is_current, no_parameters, reach_position
from query_side.api.models import (
    OrderBody,
    OrdersBody,
    OrdersParameters,
    PartitionPosition,
    PositionsBody,
    ProjectionPosition,
)
from query_side.cursor import Cursor
from query_side.database import Unavailable
from schemas.topics import ORDER_EVENTS
from service.problems import documented, problem

router = APIRouter(tags=["orders"])

_LOG_PATIENCE_S = 5.0
_POSITION = {
    "Orderlog-Position": {
        "description": "the last record of each partition that the answer reflects",
        "schema": {"type": "string", "examples": ["0:123,1:88"]},
    }
}
_ETAG = {"ETag": {"description": 'the order\'s version, as "3"', "schema": {"type": "string"}}}
IfNoneMatch = Annotated[str, Header(alias="If-None-Match", description="ETag of an answer that the client has")]


@router.get(
    "/orders/{order_id}",
    dependencies=[Depends(no_parameters), Depends(reach_position)],
    response_model=OrderBody,
    responses={
        200: {"headers": {**_ETAG, **_POSITION}},
        304: {"description": "It still has the version of If-None-Match", "headers": {**_ETAG, **_POSITION}},
        **documented(404, 422, 503),
    },
)
async def get_order(request: Request, order_id: UUID, if_none_match: IfNoneMatch = "") -> Response:
    """One order as it is now."""
    answer = await queries.order_by_id(request.app.state.database, order_id)
    headers = {"Orderlog-Position": answer.position}
    if not answer.rows:
        detail = f"the view has no order {order_id} at {answer.position or 'its beginning'}"
        return problem(request, 404, "order-not-found", "There is no such order", detail, headers)
    (row,) = answer.rows
    headers["ETag"] = etag = f'"{row["version"]}"'
    if is_current(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    return _json(OrderBody.model_validate(row).model_dump_json(), headers)


@router.get(
    "/orders",
    dependencies=[Depends(reach_position)],
    response_model=OrdersBody,
    responses={
        200: {
            "headers": {
                "Link": {"description": 'rel="next": the next page (RFC 8288)', "schema": {"type": "string"}},
                **_POSITION,
            }
        },
        **documented(422, 503),
    },
)
async def list_orders(request: Request, parameters: Annotated[OrdersParameters, Query()]) -> Response:
    """Orders, the last placed first; a page begins behind the last order of the one before, whatever came since."""
    answer = await queries.list_orders(request.app.state.database, parameters.filters(), parameters.limit + 1)
    page = [OrderBody.model_validate(row) for row in answer.rows[: parameters.limit]]
    headers, next_cursor = {"Orderlog-Position": answer.position}, None
    if len(answer.rows) > parameters.limit:
        next_cursor = str(Cursor(page[-1].placed_at, page[-1].order_id))
        following = request.url.include_query_params(cursor=next_cursor)
        headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    return _json(OrdersBody(orders=page, next_cursor=next_cursor).model_dump_json(), headers)


@router.get("/positions", tags=["operations"], dependencies=[Depends(no_parameters)], responses=documented(422, 503))
async def positions(request: Request) -> PositionsBody:
    """How far each projection is behind the log."""
    settings = request.app.state.settings
    rows = await queries.positions(request.app.state.database)
    try:
        async with asyncio.timeout(_LOG_PATIENCE_S):
            ends = await log_ends(settings.kafka_bootstrap, settings.topic(ORDER_EVENTS.name))
    except (TimeoutError, KafkaError) as error:
        raise Unavailable("the log does not answer") from error
    reached: dict[tuple[str, int], dict[int, int]] = {}
    for row in rows:
        reached.setdefault((row["projection"], row["generation"]), {})[row["partition"]] = row["next_offset"]
    return PositionsBody(projections=[_projection(*of, offsets, ends) for of, offsets in reached.items()])


def _projection(name: str, generation: int, offsets: Mapping[int, int], ends: Mapping[int, int]) -> ProjectionPosition:
    partitions = []
    for partition, end in sorted(ends.items()):
        next_offset = offsets.get(partition, 0)
        lag = max(end - next_offset, 0)
        partitions.append(PartitionPosition(partition=partition, position=next_offset - 1, end=end, lag=lag))
    lag = sum(partition.lag for partition in partitions)
    return ProjectionPosition(name=name, generation=generation, lag=lag, partitions=partitions)


def _json(body: str, headers: Mapping[str, str]) -> Response:
    # Written by pydantic already; as a return value FastAPI would validate and serialize it once more.
    return Response(body, headers=dict(headers), media_type="application/json")
