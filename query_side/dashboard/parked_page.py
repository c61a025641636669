"""One parked event, to be read."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from query_side.dashboard.places import Place
from query_side.dashboard.rendering import page
from query_side.dashboard.routes import board_of
from schemas.codec import Codec
from schemas.errors import Explained
from schemas.registry import Registry

router = APIRouter(prefix="/dashboard", include_in_schema=False)

_REGISTRY_PATIENCE_S = 2.0


@router.get("/parked/{name}")
async def parked_event(request: Request, name: str) -> Response:
    """The event `id`: a position in the log for a projection, an event's id for a subscriber."""
    board, wanted = board_of(request), request.query_params.get("id", "")
    found = next(iter([*board.sampler.places("projection", name), *board.sampler.places("subscriber", name)]), None)
    if found is None or not wanted:
        return _no(404, "There is no such event", "Nothing of that is parked.")
    event, status, why = await _event(request, found, wanted)
    if event is None:
        return _no(status, "The event cannot be shown", why)
    value = str(event.get("value") or "")
    read, unread = await asyncio.to_thread(_decoded, board.settings.registry_url, value) if value else ("", "")
    headings = {key: one for key, one in event.items() if key not in ("value", "headers", "traceback", "reason")}
    shown: dict[str, Any] = {
        "name": name,
        "id": wanted,
        "event": event,
        "headings": headings,
        "decoded": read,
        "unread": unread,
    }
    return page("parked-event.html.j2", "parked", **shown)


async def _event(request: Request, place: Place, wanted: str) -> tuple[Mapping[str, Any] | None, int, str]:
    """The event; or the status and why not."""
    asker = board_of(request).asker
    if place.kind == "projection":
        # It is put into a path: nothing but a position may be.
        if not wanted.replace(":", "", 1).isdecimal():
            return None, 404, f"{wanted!r} is no position: write partition:offset"
        reply = await asker.get(place, f"/parked/{wanted}")
        return (reply.body, 200, "") if not reply.why else (None, reply.status or 502, reply.why)
    reply = await asker.get(place, "/parked")
    if reply.why:
        return None, reply.status or 502, reply.why
    found = next((one for one in reply.body.get("parked", ()) if one.get("event_id") == wanted), None)
    return found, 404, f"{wanted!r} is not parked any more"


def _decoded(registry_url: str, value: str) -> tuple[str, str]:
    """The event as JSON without personal data, or why it cannot be read."""
    try:
        with Registry(registry_url, _REGISTRY_PATIENCE_S) as registry:
            event = Codec({}, registry.schema).decode(bytes.fromhex(value), personal=False)
    except (Explained, ValueError) as error:
        return "", str(error)
    body = msgspec.to_builtins(event)
    return msgspec.json.format(msgspec.json.encode({"type": type(event).__name__, **body}), indent=1).decode(), ""


def _no(status: int, title: str, text: str) -> Response:
    return page("message.html.j2", "parked", status, title=title, text=text)
