"""What a request asks for besides its resource: a position to wait for, a version that it already has."""

import time
from collections.abc import Mapping
from typing import Any, NoReturn

from fastapi import Request
from fastapi.exceptions import RequestValidationError

from eventlog.positions import parse_positions
from query_side.wait import Reached

_MIN_POSITION = "Orderlog-Min-Position"
MIN_POSITION: dict[str, Any] = {
    "name": _MIN_POSITION,
    "in": "header",
    "required": False,
    "description": "answer only once the view reflects these records: partition:offset[,partition:offset…], "
    "as Orderlog-Position of a command's answer gives them",
    "schema": {"type": "string", "examples": ["3:1207"]},
}


class NotReached(Exception):
    """The view did not come to the position in time."""


async def reach_position(request: Request, reached: Reached) -> None:
    """Wait until `reached` is at Orderlog-Min-Position. Raises NotReached, RequestValidationError."""
    wanted = wanted_positions(request)
    began = time.perf_counter()
    is_there = await reached.wait_for(wanted, request.app.state.settings.position_wait_s)
    request.app.state.metrics.waited(reached=is_there, seconds=time.perf_counter() - began)
    if not is_there:
        raise NotReached(f"the view has not come to {request.headers[_MIN_POSITION]} yet")


def is_current(if_none_match: str, etag: str) -> bool:
    """Whether If-None-Match names `etag` (RFC 9110, 13.1.2; weak comparison)."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or etag in tags


def refuse(location: tuple[str, str], message: str) -> NoReturn:
    """Raise RequestValidationError: the field at `location` is wrong, and `message` says what would be right."""
    raise RequestValidationError([{"type": "value_error", "loc": location, "msg": message}])


def wanted_positions(request: Request) -> Mapping[int, int]:
    """The {partition: offset} of Orderlog-Min-Position, empty without one. Raises RequestValidationError."""
    min_position = request.headers.get(_MIN_POSITION, "")
    if not min_position.strip():
        return {}
    header, partitions = ("header", _MIN_POSITION), request.app.state.settings.partitions
    try:
        wanted = parse_positions(min_position)
    except ValueError as error:
        refuse(header, str(error))
    unknown = [partition for partition in wanted if partition >= partitions]
    if unknown:
        refuse(header, f"there is no partition {unknown[0]}; the log has {partitions}, from 0")
    return wanted
