"""What can be done from the pages: each is confirmed on a page of its own, then passed on to the service that does it.

A POST is taken only from the dashboard's own pages: a browser says where a form was sent from, and one that does not
say is not believed. Programs have the services' own addresses.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qs, urlencode, urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from query_side.dashboard.asking import Reply
from query_side.dashboard.places import Place
from query_side.dashboard.rendering import HEADERS, page
from query_side.dashboard.routes import board_of

router = APIRouter(prefix="/dashboard", include_in_schema=False)

Form = Mapping[str, str]
_MAX_FORM_BYTES = 10_000


@dataclass(frozen=True, slots=True)
class Action:
    """Something to do. `method` and `path` are of the service's API; `body` makes what is sent from the form.

    `section` is the page that it belongs to; `options` are {name of a checkbox: what it says}.
    """

    title: str
    text: str
    button: str
    section: Literal["rebuild", "parked"]
    method: str
    path: str
    body: Callable[[Form], Any]
    options: Mapping[str, str]


def _which(form: Form) -> dict[str, Any]:
    return {form["by"]: form["id"]}


ACTIONS = {
    "rebuild": Action(
        "Rebuild {name}?",
        "A new generation is made from the log beside the live one, and takes its place when it is level with the "
        "log. Queries are answered from the live one until then.",
        "Start the rebuild",
        "rebuild",
        "POST",
        "/rebuild",
        lambda form: {"accept_parked": "accept_parked" in form},
        {"accept_parked": "go on though events are parked in the new generation"},
    ),
    "rollback": Action(
        "Roll {name} back?",
        "The generation that was replaced last is brought level with the log and takes the place of the live one.",
        "Roll back",
        "rebuild",
        "POST",
        "/rebuild",
        lambda form: {"rollback": True, "accept_parked": "accept_parked" in form},
        {"accept_parked": "go on though events are parked in that generation"},
    ),
    "cancel": Action(
        "Give up the rebuild of {name}?",
        "What was built so far is deleted. The live generation stays as it is.",
        "Give it up",
        "rebuild",
        "DELETE",
        "/rebuild",
        lambda form: None,
        {},
    ),
    "redrive": Action(
        "Redrive {id} of {name}?",
        "It is tried again, and with it what waits behind it. What fails again stays parked.",
        "Redrive",
        "parked",
        "POST",
        "/parked/redrive",
        _which,
        {},
    ),
    "redrive-all": Action(
        "Redrive all that {name} has parked?",
        "All of it is tried again. What fails again stays parked.",
        "Redrive all",
        "parked",
        "POST",
        "/parked/redrive",
        lambda form: {"all": True},
        {},
    ),
    "discard": Action(
        "Discard {id} of {name}?",
        "It is given up for good: what it says never reaches this service.",
        "Discard for good",
        "parked",
        "POST",
        "/parked/discard",
        lambda form: {**_which(form), **({"force": True} if "force" in form else {})},
        {"force": "also when its order is left behind by that (of a projection)"},
    ),
}


@router.get("/confirm/{action}/{name}")
async def confirm(request: Request, action: str, name: str) -> Response:
    """Ask before it is done."""
    found, places = ACTIONS.get(action), _places(request, name)
    if found is None or not places:
        return _message(404, "There is no such action", "Nothing was done.", "")
    parked_id = request.query_params.get("id", "")
    title = found.title.format(name=name, id=parked_id)
    options = found.options if places[0].kind == "projection" else {}
    about: dict[str, Any] = {
        "action": found,
        "key": action,
        "name": name,
        "id": parked_id,
        "title": title,
        "options": options,
    }
    return page("confirm.html.j2", found.section, **about)


@router.post("/do/{action}/{name}")
async def do(request: Request, action: str, name: str) -> Response:
    """Do it, and go back to the page that it belongs to."""
    if not from_here(request.headers):
        why = "The request does not come from a page of this dashboard. Nothing was done."
        return _message(403, "That is not accepted", why, "")
    found, places = ACTIONS.get(action), _places(request, name)
    form = await _form(request)
    if found is None or not places or form is None:
        return _message(404, "There is no such action", "Nothing was done.", "")
    reply = await _send(request, found, places, form)
    if reply.why:
        return _message(502 if not reply.status else reply.status, "It was not done", reply.why, found.section)
    board_of(request).forget()
    left = [one for one in reply.body.get("outcomes", ()) if one.get("left") or one.get("state") == "failed"]
    if left:
        why = str(left[0].get("reason") or "it failed again")
        return _message(409, f"{len(left)} failed again and stay parked", why, found.section)
    return RedirectResponse(f"/dashboard/{found.section}?{urlencode({'done': action})}", 303, HEADERS)


def from_here(headers: Mapping[str, str]) -> bool:
    """Whether a browser says that a page of this very address sent the request."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is None:
        return site == "same-origin"
    return bool(origin != "null" and urlsplit(origin).netloc == headers.get("host"))


async def _form(request: Request) -> Form | None:
    """What a form sent, None when it is none or too long."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_FORM_BYTES:
            return None
    try:
        return {name: values[0] for name, values in parse_qs(body.decode(), max_num_fields=10).items()}
    except ValueError:
        return None


async def _send(request: Request, action: Action, places: Sequence[Place], form: Form) -> Reply:
    """What the first process says that does it: a worker may have other partitions than the one that is meant."""
    by = "position" if places[0].kind == "projection" else "event_id"
    body = action.body({"id": "", **form, "by": by})
    reply = Reply(0, {}, "nobody was asked")
    for place in places:
        reply = await board_of(request).asker.send(place, action.method, action.path, body)
        if not reply.why:
            break
    return reply


def _places(request: Request, name: str) -> list[Place]:
    """The processes of a service that has such pages."""
    sampler = board_of(request).sampler
    return [*sampler.places("projection", name), *sampler.places("subscriber", name)]


def _message(status: int, title: str, text: str, section: str) -> Response:
    return page("message.html.j2", section, status, title=title, text=text)
