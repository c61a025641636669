"""Routes of the statistics, from the sales tables."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, get_args

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from query_side.api.answers import described, json
from query_side.api.conditions import NotReached, refuse, wanted_positions
from query_side.api.direct import QueryRoute
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
from query_side.wait import Reached

_MOST_STRETCHES = 10_000


class StatsRoute(QueryRoute):
    """A QueryRoute that waits for the sales tables."""

    @staticmethod
    def reached(request: Request) -> Reached:
        """See QueryRoute."""
        stats: Stats = request.app.state.stats
        return stats.reached


router = APIRouter(prefix="/stats", tags=["statistics"], route_class=StatsRoute)


@router.get("/orders-by-status", response_model=OrdersByStatusBody, **described(422, 503))
async def orders_by_status(request: Request) -> Response:
    """How many orders have each status now."""
    sums = await _sums(request, {"kind": "status"})
    counts = [StatusCount(status=one, orders=sums.rows.get((one, ""), [0])[0]) for one in get_args(Status)]
    return _answer(OrdersByStatusBody(statuses=counts), sums)


@router.get("/revenue", response_model=RevenueBody, **described(422, 503))
async def revenue(request: Request, parameters: Annotated[RevenueParameters, Query()]) -> Response:
    """Orders placed, payments and refunds per minute, hour or day (UTC), each when it happened."""
    query = {"kind": parameters.by, **_bounds(parameters), **_currency(parameters.currency)}
    sums = await _sums(request, query)
    if len(sums.rows) > _MOST_STRETCHES:
        refuse(("query", "from"), f"more than {_MOST_STRETCHES} stretches; narrow from and to, or take a longer `by`")
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
    return _answer(RevenueBody(by=parameters.by, revenue=rows), sums)


@router.get("/top-skus", response_model=TopSkusBody, **described(422, 503))
async def top_skus(request: Request, parameters: Annotated[TopSkusParameters, Query()]) -> Response:
    """The skus that sold best."""
    sums, best = await _best(request, "sku", parameters, by_revenue=parameters.by == "revenue")
    skus = [Sku(sku=str(name), currency=of, pieces=pieces, revenue=worth) for (name, of), (pieces, worth) in best]
    return _answer(TopSkusBody(skus=skus), sums)


@router.get("/top-customers", response_model=TopCustomersBody, **described(422, 503))
async def top_customers(request: Request, parameters: Annotated[TopCustomersParameters, Query()]) -> Response:
    """The customers that ordered most."""
    sums, best = await _best(request, "customer", parameters, by_revenue=parameters.by == "revenue")
    customers = [
        Customer(customer_id=str(name), currency=of, orders=orders, revenue=worth)
        for (name, of), (orders, worth) in best
    ]
    return _answer(TopCustomersBody(customers=customers), sums)


async def _best(
    request: Request, kind: str, parameters: TopParameters, *, by_revenue: bool
) -> tuple[Sums, list[tuple[Key, tuple[int, int]]]]:
    if by_revenue and parameters.currency is None:
        refuse(("query", "currency"), "amounts in different currencies cannot be ranked; give one")
    sums = await _sums(request, {"kind": kind, **_currency(parameters.currency)})
    ranked = [(key, (count, worth)) for key, (count, worth) in sums.rows.items() if count > 0 or worth > 0]
    # Of equals the one whose name comes first, so that two answers of the same position are the same.
    ranked.sort(key=lambda row: (-row[1][by_revenue], row[0]))
    return sums, ranked[: parameters.limit]


async def _sums(request: Request, query: Mapping[str, str]) -> Sums:
    stats: Stats = request.app.state.stats
    sums = await stats.sums(query)
    # What was waited for was a hint; a worker that was suspended may answer with less.
    if any(sums.offsets.get(partition, -1) < offset for partition, offset in wanted_positions(request).items()):
        raise NotReached("the sales tables have not come that far yet")
    return sums


def _bounds(parameters: RevenueParameters) -> dict[str, str]:
    bounds = {"since": parameters.since, "until": parameters.until}
    return {name: str(seconds(time)) for name, time in bounds.items() if time is not None}


def _currency(currency: str | None) -> dict[str, str]:
    return {} if currency is None else {"currency": currency}


def _answer(body: BaseModel, sums: Sums) -> Response:
    return json(body.model_dump_json(), {"Orderlog-Position": sums.position})
