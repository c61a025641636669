"""The query API as an ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI, Request, Response

from eventlog.settings import Settings
from query_side import queries
from query_side.api import asyncapi, health, orders, positions, stats, timeline
from query_side.api.conditions import NotReached
from query_side.changes import Changes
from query_side.dashboard import add_dashboard
from query_side.dashboard.board import Board
from query_side.database import Database, Unavailable
from query_side.grouping import Grouped
from query_side.metrics import QueryMetrics
from query_side.stats import Stats
from query_side.wait import Reached
from service import problems

_RETRY_S = "1"
_HEARTBEAT_S = 15.0
_DESCRIPTION = """Answers from views of the log, which are a little behind it. Every answer says how far it came
(`Orderlog-Position`). To read what a command wrote, send its `Orderlog-Position` as `Orderlog-Min-Position`:
the answer waits, for a bounded time, until the view is there. `/asyncapi.json` describes the Kafka topics."""


def create_app(
    settings: Settings, database: Database, reached: Reached, sales: Stats, metrics: QueryMetrics
) -> FastAPI:
    """The application; it opens `database` and listens for positions while it runs."""

    board = Board(settings, database, sales)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with database, reached.listening(), sales, board:
            yield

    app = FastAPI(title="orderlog query API", version="1", description=_DESCRIPTION, lifespan=lifespan)
    app.state.settings, app.state.database, app.state.reached = settings, database, reached
    app.state.stats, app.state.metrics = sales, metrics
    app.state.orders = Grouped(partial(queries.orders, database))
    news = Grouped(partial(queries.new_events, database))
    app.state.changes = Changes(news.get, reached, settings.partitions, _HEARTBEAT_S)
    metrics.exposition.before_scrape(lambda: metrics.look(database, app.state.changes))
    for router in (orders.router, timeline.router, stats.router, positions.router, health.router, asyncapi.router):
        app.include_router(router)
    add_dashboard(app, board)
    app.add_exception_handler(Unavailable, _unavailable)
    app.add_exception_handler(NotReached, _not_reached)
    problems.install(app)
    return app


async def _unavailable(request: Request, error: Exception) -> Response:
    title = "The views cannot be read now"
    return problems.problem(request, 503, "views-unavailable", title, str(error), {"Retry-After": _RETRY_S})


async def _not_reached(request: Request, error: Exception) -> Response:
    title = "The view has not come that far yet"
    return problems.problem(request, 503, "position-not-reached", title, str(error), {"Retry-After": _RETRY_S})
