"""Routes of the statistics, from the sales tables."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Depends, Query, Request, Response

from query_side.api.conditions import MinPosition, NotReached, no_parameters, refuse_parameter, wanted_positions
from query_side.api.models import Status
from query_side.api.stats_models import (
    Customer,
    OrdersByStatusBody,
    Revenue,
    RevenueBody,
    RevenueParameters,
    Sku,
    StatusCount,
    TopCustomersBody,
    TopCustomersParameters,
    TopParameters,
    TopSkusBody,
    TopSkusParameters,
    seconds,
)
from query_side.stats import Key, Stats, Sums
from service.problems import documented

router = APIRouter(prefix="/stats", tags=["statistics"])

_MOST_STRETCHES = 10_000
_HEADERS = {
    "Orderlog-Position": {
        "description": "the last record of each partition that the answer reflects",
        "schema": {"type": "string", "examples": ["0:123,1:88"]},
    }
}
_RESPONSES: dict[int | str, dict[str, Any]] = {200: {"headers": _HEADERS}, **documented(422, 503)}


async def reach_position(request: Request, min_position: MinPosition = "") -> Mapping[int, int]:
    """Wait for the tables to come to Orderlog-Min-Position, and hand it on. Raises NotReached."""
    stats: Stats = request.app.state.stats
    wanted = wanted_positions(min_position, request.app.state.settings.partitions)
    if not await stats.reached.wait_for(wanted, request.app.state.settings.position_wait_s):
        raise NotReached(f"the sales tables have not come to {min_position} yet")
    return wanted


Wanted = Annotated[Mapping[int, int], Depends(reach_position)]


@router.get(
    "/orders-by-status",
    dependencies=[Depends(no_parameters)],
    response_model=OrdersByStatusBody,
    responses=_RESPONSES,
)
async def orders_by_status(request: Request, wanted: Wanted) -> Response:
    """How many orders have each status now."""
    sums = await _sums(request, wanted, {"kind": "status"})
    counts = [StatusCount(status=one, orders=sums.rows.get((one, ""), [0])[0]) for one in get_args(Status)]
    return _json(OrdersByStatusBody(statuses=counts).model_dump_json(), sums)


@router.get("/revenue", response_model=RevenueBody, responses=_RESPONSES)
async def revenue(request: Request, wanted: Wanted, parameters: Annotated[RevenueParameters, Query()]) -> Response:
    """Orders placed, payments and refunds per minute, hour or day (UTC), each when it happened."""
    query = {"kind": parameters.by, **_bounds(parameters), **_currency(parameters.currency)}
    sums = await _sums(request, wanted, query)
    if len(sums.rows) > _MOST_STRETCHES:
        refuse_parameter("from", f"more than {_MOST_STRETCHES} stretches; narrow from and to, or take a longer `by`")
    rows = [
        Revenue(
            start=datetime.fromtimestamp(int(start), UTC),
            currency=currency,
            orders=orders,
            payments=payments,
            refunds=refunds,
            revenue=payments - refunds,
        )
        for (start, currency), (orders, payments, refunds) in sorted(sums.rows.items())
    ]
    return _json(RevenueBody(by=parameters.by, revenue=rows).model_dump_json(), sums)


@router.get("/top-skus", response_model=TopSkusBody, responses=_RESPONSES)
async def top_skus(request: Request, wanted: Wanted, parameters: Annotated[TopSkusParameters, Query()]) -> Response:
    """The skus that sold best."""
    sums, best = await _best(request, wanted, "sku", parameters, by_revenue=parameters.by == "revenue")
    skus = [Sku(sku=str(name), currency=of, pieces=pieces, revenue=worth) for (name, of), (pieces, worth) in best]
    return _json(TopSkusBody(skus=skus).model_dump_json(), sums)


@router.get("/top-customers", response_model=TopCustomersBody, responses=_RESPONSES)
async def top_customers(
    request: Request, wanted: Wanted, parameters: Annotated[TopCustomersParameters, Query()]
) -> Response:
    """The customers that ordered most."""
    sums, best = await _best(request, wanted, "customer", parameters, by_revenue=parameters.by == "revenue")
    customers = [
        Customer(customer_id=str(name), currency=of, orders=orders, revenue=worth)
        for (name, of), (orders, worth) in best
    ]
    return _json(TopCustomersBody(customers=customers).model_dump_json(), sums)


async def _best(
    request: Request, wanted: Mapping[int, int], kind: str, parameters: TopParameters, *, by_revenue: bool
) -> tuple[Sums, list[tuple[Key, tuple[int, int]]]]:
    if by_revenue and parameters.currency is None:
        refuse_parameter("currency", "amounts in different currencies cannot be ranked; give one")
    sums = await _sums(request, wanted, {"kind": kind, **_currency(parameters.currency)})
    ranked = [(key, (count, worth)) for key, (count, worth) in sums.rows.items() if count > 0 or worth > 0]
    # Of equals the one whose name comes first, so that two answers of the same position are the same.
    ranked.sort(key=lambda row: (-row[1][by_revenue], row[0]))
    return sums, ranked[: parameters.limit]


async def _sums(request: Request, wanted: Mapping[int, int], query: Mapping[str, str]) -> Sums:
    stats: Stats = request.app.state.stats
    sums = await stats.sums(query)
    # What was waited for was a hint; a worker that was suspended may answer with less.
    if any(sums.offsets.get(partition, -1) < offset for partition, offset in wanted.items()):
        raise NotReached("the sales tables have not come that far yet")
    return sums


def _bounds(parameters: RevenueParameters) -> dict[str, str]:
    bounds = {"since": parameters.since, "until": parameters.until}
    return {name: str(seconds(time)) for name, time in bounds.items() if time is not None}


def _currency(currency: str | None) -> dict[str, str]:
    return {} if currency is None else {"currency": currency}


def _json(body: str, sums: Sums) -> Response:
    return Response(body, headers={"Orderlog-Position": sums.position}, media_type="application/json")
