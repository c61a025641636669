"""How far each projection is behind the log."""

import asyncio
from collections.abc import Mapping, Sequence

from aiokafka.errors import KafkaError
from fastapi import APIRouter, Request, Response

from eventlog.reader import log_ends
from query_side import queries
from query_side.api.answers import json
from query_side.api.conditions import MIN_POSITION
from query_side.api.direct import QueryRoute
from query_side.api.models import PartitionPosition, PositionsBody, ProjectionPosition, RebuildPosition
from query_side.database import Row, Unavailable
from schemas.topics import ORDER_EVENTS
from service.problems import documented

router = APIRouter(tags=["operations"], route_class=QueryRoute)

_LOG_PATIENCE_S = 5.0


@router.get(
    "/positions",
    response_model=PositionsBody,
    responses=documented(422, 503),
    openapi_extra={"parameters": [MIN_POSITION]},
)
async def get_positions(request: Request) -> Response:
    """How far each projection is behind the log."""
    settings = request.app.state.settings
    rows = await queries.positions(request.app.state.database)
    try:
        async with asyncio.timeout(_LOG_PATIENCE_S):
            ends = await log_ends(settings.kafka_bootstrap, settings.topic(ORDER_EVENTS.name))
    except (TimeoutError, KafkaError) as error:
        raise Unavailable("the log does not answer") from error
    by_projection: dict[str, list[Row]] = {}
    for row in rows:
        by_projection.setdefault(row["projection"], []).append(row)
    body = PositionsBody(projections=[_projection(name, of, ends) for name, of in by_projection.items()])
    return json(body.model_dump_json(), {})


def _projection(name: str, rows: Sequence[Row], ends: Mapping[int, int]) -> ProjectionPosition:
    offsets = {row["partition"]: row["next_offset"] for row in rows}
    partitions = []
    for partition, end in sorted(ends.items()):
        next_offset = offsets.get(partition, 0)
        lag = max(end - next_offset, 0)
        partitions.append(PartitionPosition(partition=partition, position=next_offset - 1, end=end, lag=lag))
    lag = sum(partition.lag for partition in partitions)
    generation, rebuild = rows[0]["generation"], _rebuild(rows[0])
    return ProjectionPosition(name=name, generation=generation, lag=lag, partitions=partitions, rebuild=rebuild)


def _rebuild(row: Row) -> RebuildPosition | None:
    if row["progress"] is None:
        return None
    return RebuildPosition(**{**row["progress"], "generation": row["building"], "builder": row["builder"]})
