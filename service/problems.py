"""Errors as RFC 9457 problem details, the same in every service."""

from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:orderlog:problem:"  # and the slug
_TITLES = {
    400: "The request cannot be understood",
    404: "There is nothing at this address",
    405: "This address does not take that method",
    413: "The request body is too large",
    415: "The request body must be JSON",
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
    body = {
        "type": TYPE + slug,
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        **(members or {}),
    }
    return JSONResponse(body, status, headers, media_type=MEDIA_TYPE)


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
    title = _TITLES.get(error.status_code, "The request was refused")
    return problem(request, error.status_code, _slug(error.status_code), title, str(error.detail), error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [{"field": _field(e["loc"]), "problem": e["msg"]} for e in error.errors()]
    detail = "; ".join(f"{e['field']}: {e['problem']}" for e in errors[:3])
    return problem(request, 422, _slug(422), _TITLES[422], detail, members={"errors": errors[:50]})


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("unexpected_error", path=request.url.path, exc_info=error)
    return problem(request, 500, _slug(500), _TITLES[500], "The error is in the service's log.")


def _slug(status: int) -> str:
    names = {404: "not-found", 405: "method-not-allowed", 413: "body-too-large", 415: "unsupported-media-type"}
    return names.get(status) or {422: "invalid-request", 500: "internal-error"}.get(status, "bad-request")


def _field(location: tuple[Any, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
