"""The query side's composition root: the only place where its parts are put together."""

from fastapi import FastAPI

from eventlog.settings import Settings
from query_side.api.app import create_app
from query_side.database import Database
from query_side.sql import ORDERS
from query_side.wait import Reached
from service.serving import run_app
from service.sockets import listen


def build_app(settings: Settings) -> FastAPI:
    """The query API that `settings` describe."""
    return create_app(settings, Database(settings.postgres_url), Reached(settings.postgres_url, ORDERS))


def serve(settings: Settings) -> None:
    """Serve the query API until SIGTERM or SIGINT. Raises OSError when its port is taken."""
    listener = listen(settings.query_api_host, settings.query_api_port)
    app = build_app(settings)

    async def end_streams() -> None:
        app.state.reached.end()

    run_app(app, listener, "query-api", settings, before_stop=end_streams)
