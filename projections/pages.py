"""The operations API of a worker, on Faust's web server: JSON in, JSON out, refusals as RFC 9457 problems."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
from aiohttp import web
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from schemas.errors import BadInput, Explained
from service.problems import MEDIA_TYPE, TYPE

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refused(Exception):
    """A request is not done; what the problem says, but for its path."""

    def __init__(self, status: int, slug: str, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug
        self.title = title


async def body_of(request: web.Request) -> Any:
    """A request's JSON. Raises BadInput."""
    if request.content_type != "application/json":
        raise BadInput("send Content-Type: application/json")
    try:
        return await request.json()
    except json.JSONDecodeError as error:
        raise BadInput(f"the body is not JSON: {error}") from error


def problems(handler: Handler) -> Handler:
    """`handler`, its errors as problems."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as error:
            return _problem(request, error)
        except ValidationError as error:
            first = error.errors()[0]
            detail = f"body.{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
            return _problem(request, _invalid(detail))
        except BadInput as error:
            return _problem(request, _invalid(str(error)))
        except (psycopg.Error, KafkaError, Explained) as error:
            detail = " ".join(str(error).split()) or type(error).__name__
            return _problem(request, Refused(503, "unavailable", "Not possible now", detail))

    return answer


def _invalid(detail: str) -> Refused:
    return Refused(422, "invalid-request", "The request has invalid fields", detail)


def _problem(request: web.Request, refused: Refused) -> web.Response:
    body = {
        "type": TYPE + refused.slug,
        "title": refused.title,
        "status": refused.status,
        "detail": str(refused),
        "instance": request.path,
    }
    return web.json_response(body, status=refused.status, content_type=MEDIA_TYPE)
