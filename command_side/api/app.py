"""The command API as an ASGI application."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI

from command_side.api import bulk, health, routes
from command_side.api.bulk import BulkLimits
from command_side.api.direct import CommandApp
from command_side.api.forwarding import Forwarder, open_session
from command_side.api.line_forwarding import LineForwarder
from command_side.routing import Router
from service import problems
from service.bodies import JsonBodies

_DESCRIPTION = """Validates commands against an order's own history and appends their events to the log.

An answer of 200 or 201 means that the events are in the log, exactly once, for good. Read the order
back from the query API, with the answer's `Orderlog-Position` in `Orderlog-Min-Position`."""


def create_app(
    run_router: Callable[[], AbstractAsyncContextManager[Router]], max_body_bytes: int, bulk_limits: BulkLimits
) -> FastAPI:
    """The application; `run_router` opens the writers when it starts and closes them when it stops."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_session() as session, run_router() as router:
            app.state.router = router
            app.state.forwarder, app.state.line_forwarder = Forwarder(session), LineForwarder(session, bulk.PATH)
            yield

    app = CommandApp(title="orderlog command API", version="1", description=_DESCRIPTION, lifespan=lifespan)
    app.add_middleware(JsonBodies, max_bytes=max_body_bytes, streamed=frozenset({bulk.PATH}))
    app.state.bulk_limits = bulk_limits
    app.include_router(routes.router)
    app.serve_directly(routes.router.routes, max_body_bytes)
    app.include_router(bulk.router)
    app.include_router(health.router)
    problems.install(app)
    return app
