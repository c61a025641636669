"""What a request asks for besides its resource: a version it already has, a position to wait for, nothing unknown."""

from collections.abc import Mapping
from typing import Annotated, Any, NoReturn

from fastapi import Header, Request
from fastapi.exceptions import RequestValidationError

from eventlog.positions import parse_positions
from query_side.wait import Reached

MinPosition = Annotated[
    str,
    Header(
        alias="Orderlog-Min-Position",
        description="answer only once the view reflects these records: partition:offset[,partition:offset…], "
        "as Orderlog-Position of a command's answer gives them",
        examples=["3:1207"],
    ),
]


class NotReached(Exception):
    """The view did not come to the position in time."""


async def reach_position(request: Request, min_position: MinPosition = "") -> None:
    """Wait for the view to come to Orderlog-Min-Position. Raises NotReached, RequestValidationError."""
    if not min_position.strip():
        return
    reached: Reached = request.app.state.reached
    wanted = wanted_positions(min_position, request.app.state.settings.partitions)
    if not await reached.wait_for(wanted, request.app.state.settings.position_wait_s):
        raise NotReached(f"the view has not come to {min_position} yet")


async def no_parameters(request: Request) -> None:
    """Refuse query parameters where none is known: a misspelt one must not be dropped in silence."""
    unknown = sorted(request.query_params)
    if unknown:
        raise RequestValidationError([_error(("query", name), "Unknown parameter") for name in unknown])


def is_current(if_none_match: str, etag: str) -> bool:
    """Whether If-None-Match names `etag` (RFC 9110, 13.1.2; weak comparison)."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or etag in tags


def wanted_positions(min_position: str, partitions: int) -> Mapping[int, int]:
    """The {partition: offset} of Orderlog-Min-Position, empty without one. Raises RequestValidationError."""
    if not min_position.strip():
        return {}
    try:
        wanted = parse_positions(min_position)
    except ValueError as error:
        _refuse(str(error))
    unknown = [partition for partition in wanted if partition >= partitions]
    if unknown:
        _refuse(f"there is no partition {unknown[0]}; the log has {partitions}, from 0")
    return wanted


def refuse_parameter(name: str, message: str) -> NoReturn:
    """Refuse the query parameter `name`, as its own validation would."""
    raise RequestValidationError([_error(("query", name), message)])


def _refuse(message: str) -> NoReturn:
    raise RequestValidationError([_error(("header", "Orderlog-Min-Position"), message)])


def _error(location: tuple[str, str], message: str) -> dict[str, Any]:
    return {"type": "value_error", "loc": location, "msg": message}
