"""The command API's routes, one for each kind of command: each turns a request into one command."""

import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response

from command_side.api import models
from command_side.api.answers import execute
from command_side.api.direct import CommandRoute
from command_side.api.forwarding import forwarded_order_id
from command_side.api.kinds import KINDS, Kind
from command_side.api.preconditions import HEADERS, new_order_id
from service.idempotency import idempotency_key
from service.problems import documented

router = APIRouter(tags=["commands"], route_class=CommandRoute)

_PROBLEMS = (400, 404, 409, 412, 413, 415, 422, 503)
_ANSWER_HEADERS = {
    "ETag": {"description": "the order's version, quoted", "schema": {"type": "string"}},
    "Orderlog-Position": {"description": "partition:offset of the last event", "schema": {"type": "string"}},
}


def _endpoint(kind: Kind) -> Callable[..., Coroutine[Any, Any, Response]]:
    """What is called with the validated parts of a request of this kind."""

    async def endpoint(request: Request, **parts: Any) -> Response:
        return await execute(request, kind, kind.make(**parts), parts.get("body"))

    async def without_id(request: Request, body: models.PlaceOrderBody) -> Response:
        order_id = body.order_id or forwarded_order_id(request) or new_order_id(idempotency_key(request))
        return await execute(request, kind, kind.make(order_id, body), body)

    return endpoint if "order_id" in kind.in_path else without_id


def _signature(kind: Kind) -> inspect.Signature:
    """What FastAPI documents and CommandRoute validates: the request, the path's parts, the body."""
    parts = {"request": Request, **kind.in_path}
    if "body" in kind.parts:
        parts["body"] = kind.parts["body"]
    named = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=part) for name, part in parts.items()]
    return inspect.Signature(named, return_annotation=Response)


def _documented(success: int) -> dict[str, Any]:
    responses = {success: {"model": models.Answer, "headers": _ANSWER_HEADERS}, **documented(*_PROBLEMS)}
    return {"status_code": success, "responses": responses, "openapi_extra": HEADERS, "response_model": None}


def _add(kind: Kind) -> None:
    endpoint = _endpoint(kind)
    endpoint.__signature__ = _signature(kind)  # type: ignore[attr-defined]
    describing = {"name": kind.name, "description": kind.make.__doc__, **_documented(kind.success)}
    router.add_api_route(kind.path, endpoint, methods=[kind.method], **describing)


for _each in KINDS.values():
    _add(_each)
