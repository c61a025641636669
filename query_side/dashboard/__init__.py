"""The dashboard: pages for people, on the query API's address. They ask and pass on; nothing is decided here."""

from fastapi import FastAPI

from query_side.dashboard import actions, order_pages, parked_page, routes
from query_side.dashboard.board import Board


def add_dashboard(app: FastAPI, board: Board) -> None:
    """Add the pages to `app`; whoever runs it enters `board` while it runs."""
    app.state.dashboard = board
    for module in (routes, order_pages, parked_page, actions):
        app.include_router(module.router)
