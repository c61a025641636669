"""What the routes' answers have in common."""

from collections.abc import Mapping
from typing import Any

from fastapi import Response

from query_side.api.conditions import MIN_POSITION
from service.problems import documented

_POSITION = {
    "Orderlog-Position": {
        "description": "the last record of each partition that the answer reflects",
        "schema": {"type": "string", "examples": ["0:123,1:88"]},
    }
}
ETAG = {"ETag": {"description": 'the order\'s version, as "3"', "schema": {"type": "string"}}}
LINK = {"Link": {"description": 'rel="next": the next page (RFC 8288)', "schema": {"type": "string"}}}


def described(
    *problems: int,
    headers: Mapping[str, Any] | None = None,
    takes: tuple[Mapping[str, Any], ...] = (),
    **others: Any,
) -> dict[str, Any]:
    """What a query's route says of itself: `headers` of its answer, headers it `takes`, `problems` it may have."""
    described_headers = {**(headers or {}), **_POSITION}
    return {
        "responses": {200: {"headers": described_headers}, **documented(*problems), **others.pop("responses", {})},
        "openapi_extra": {"parameters": [*takes, MIN_POSITION]},
        **others,
    }


def json(body: str | bytes, headers: Mapping[str, str]) -> Response:
    """`body`, which is JSON already: as a return value FastAPI would validate and write it once more."""
    return Response(body, headers=dict(headers), media_type="application/json")
