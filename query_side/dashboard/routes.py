"""The dashboard's pages. Each is whole without JavaScript; what is alive on it is sent again by the stream."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from fastapi.sse import EventSourceResponse, format_sse_event

from query_side.dashboard import rendering
from query_side.dashboard.board import STRETCHES, Board, Shown
from query_side.dashboard.rendering import page

router = APIRouter(prefix="/dashboard", include_in_schema=False)

_STATIC = Path(__file__).parent / "static"
_FILES = {
    "dashboard.css": "text/css",
    "dashboard.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "vendor/uPlot.iife.min.js": "text/javascript",
    "vendor/uPlot.min.css": "text/css",
}
_RETRY_MS = 1_000
_DONE = {
    "rebuild": "The rebuild is under way.",
    "rollback": "The roll back is under way.",
    "cancel": "The rebuild was given up.",
    "redrive": "It was applied.",
    "redrive-all": "All of it was applied.",
    "discard": "It was given up.",
}


def board_of(request: Request) -> Board:
    """The application's board."""
    board: Board = request.app.state.dashboard
    return board


@router.get("")
async def projections(request: Request) -> Response:
    """Where each view stands."""
    return await live_page(request, "projections")


@router.get("/rebuild")
async def rebuild(request: Request) -> Response:
    """Generations of the views, and rebuilds."""
    return await live_page(request, "rebuild")


@router.get("/parked")
async def parked(request: Request) -> Response:
    """What could not be applied."""
    return await live_page(request, "parked")


@router.get("/write-side")
async def write_side(request: Request) -> Response:
    """Who writes which partition."""
    return await live_page(request, "write-side")


@router.get("/backbone")
async def backbone(request: Request) -> Response:
    """Subscribers and topics."""
    return await live_page(request, "backbone")


@router.get("/events")
async def events(request: Request) -> Response:
    """What is alive on a page, every two seconds, as server-sent events: {at, html}."""
    name = request.query_params.get("page", "")
    if name not in LIVE:
        return page("message.html.j2", "", 404, title="There is no such page", text=f"No page {name!r} is alive.")
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return EventSourceResponse(_stream(board_of(request), name, _by(request)), headers=headers)


@router.get("/static/{name:path}")
async def static(name: str) -> Response:
    """The pages' own files."""
    if name not in _FILES:
        return page("message.html.j2", "", 404, title="There is no such file", text="The dashboard has no such file.")
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return FileResponse(_STATIC / name, media_type=_FILES[name], headers=headers)


LIVE: dict[str, Callable[[Board, str], Awaitable[Shown]]] = {
    "projections": lambda board, _by: board.projections(),
    "rebuild": lambda board, _by: board.rebuilds(),
    "parked": lambda board, _by: board.parked(),
    "orders": lambda board, by: board.sales(by),
    "write-side": lambda board, _by: board.writing(),
    "backbone": lambda board, _by: board.backbone(),
}


async def live_page(request: Request, name: str, **more: Any) -> Response:
    """A page with what is alive on it, and `more`."""
    shown = await LIVE[name](board_of(request), _by(request))
    done = _DONE.get(request.query_params.get("done", ""), "")
    return page(f"{name}.html.j2", name, live=f"live/{name}.html.j2", done=done, **{**shown, **more})


def _by(request: Request) -> str:
    by = request.query_params.get("by", "minute")
    return by if by in STRETCHES else "minute"


async def _stream(board: Board, name: str, by: str) -> AsyncIterator[bytes]:
    yield format_sse_event(comment="what is alive on this page", retry=_RETRY_MS)
    while True:
        shown = await LIVE[name](board, by)
        html = await asyncio.to_thread(rendering.fragment, f"live/{name}.html.j2", shown)
        yield format_sse_event(data_str=json.dumps({"html": html}))
        if not await board.tick():
            return
