"""Errors as RFC 9457 problem details, the same in every service."""

from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:orderlog:problem:"  # and the slug
_TITLES = {
    400: "The request cannot be understood",
    404: "There is nothing at this address",
    405: "This address does not take that method",
    413: "The request body is too large",
    415: "The request body is not of the type this address takes",
    422: "The request has invalid fields",
    500: "Something went wrong on our side",
}


class FieldError(BaseModel):
    """One thing wrong with a request: where, and what would be right."""

    field: str = Field(examples=["body.lines[0].quantity"])
    problem: str = Field(examples=["Input should be greater than or equal to 1"])


class Problem(BaseModel):
    """RFC 9457 problem details; `errors` names each wrong field of an invalid request."""

    type: str = Field(examples=["urn:orderlog:problem:order-not-open"])
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldError] | None = None


def problem(
    request: Request,
    status: int,
    slug: str,
    title: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, Any] | None = None,
) -> Response:
    """The problem as a response; `members` are extension members of its body (RFC 9457, 3.2)."""
    body = described(request.url.path, status, slug, title, detail, members)
    return JSONResponse(body, status, headers, media_type=MEDIA_TYPE)


def described(
    instance: str, status: int, slug: str, title: str, detail: str, members: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The body of a problem; `instance` is the path it is about, `members` are its extension members."""
    return {
        "type": TYPE + slug,
        "title": title,
        "status": status,
        "detail": detail,
        "instance": instance,
        **(members or {}),
    }


def http_problem(instance: str, status: int, detail: str) -> dict[str, Any]:
    """The body of the problem that an HTTP error of this status is."""
    return described(instance, status, _slug(status), _TITLES.get(status, "The request was refused"), detail)


def invalid_request(instance: str, errors: Iterable[ErrorDetails]) -> dict[str, Any]:
    """The body of the problem that a request with invalid fields is; `errors` are pydantic's."""
    named = [{"field": _field(e["loc"]), "problem": e["msg"]} for e in errors]
    detail = "; ".join(f"{e['field']}: {e['problem']}" if e["field"] else e["problem"] for e in named[:3])
    return described(instance, 422, _slug(422), _TITLES[422], detail, {"errors": named[:50]})


def internal_error(instance: str) -> dict[str, Any]:
    """The body of the problem that a bug of ours is."""
    return http_problem(instance, 500, "The error is in the service's log.")


def located(error: ValidationError, *where: str) -> list[Any]:
    """What pydantic found wrong in one part of a request, located `where` that part is, for RequestValidationError."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [{**one, "loc": (*where, *one["loc"])} for one in found]


def install(app: FastAPI) -> None:
    """Answer every error of `app`, its framework's too, as a problem."""
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unexpected)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that may answer with problems of these statuses."""
    content = {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}
    return {s: {"description": _TITLES.get(s, "See the problem's title"), "content": content} for s in statuses}


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # starlette dispatches by type
    body = http_problem(request.url.path, error.status_code, str(error.detail))
    return JSONResponse(body, error.status_code, error.headers, media_type=MEDIA_TYPE)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return JSONResponse(invalid_request(request.url.path, error.errors()), 422, media_type=MEDIA_TYPE)


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("unexpected_error", path=request.url.path, exc_info=error)
    return JSONResponse(internal_error(request.url.path), 500, media_type=MEDIA_TYPE)


def _slug(status: int) -> str:
    names = {404: "not-found", 405: "method-not-allowed", 413: "body-too-large", 415: "unsupported-media-type"}
    return names.get(status) or {422: "invalid-request", 500: "internal-error"}.get(status, "bad-request")


def _field(location: tuple[Any, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
