"""A line of a bulk request: from its bytes to a command, and what the OpenAPI document says of it."""

from datetime import datetime
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic_core import ErrorDetails

from command_side.api.kinds import KINDS, Kind
from command_side.api.models import PlaceOrderBody
from command_side.api.preconditions import MAX_VERSION, fingerprint, happened_at, new_order_id
from command_side.outcomes import CommandRequest
from service import problems
from service.idempotency import KEY_PATTERN

MEDIA_TYPE = "application/x-ndjson"

_Key = Annotated[str, Field(pattern=KEY_PATTERN)]
_Version = Annotated[int, Field(strict=True, ge=0, le=MAX_VERSION)]


class Asked(NamedTuple):
    """What a line asks for."""

    kind: Kind
    submission: CommandRequest


def read_line(line: bytes, now: datetime, trace: str) -> Asked:
    """The command of one line. Raises ValidationError that names what is wrong with it."""
    given: Any = _LINE.validate_json(line)
    kind, key = KINDS[given.command], given.idempotency_key
    parts = {name: getattr(given, name) for name in kind.parts if name in given.__dict__}
    body = parts.get("body")
    if isinstance(body, PlaceOrderBody):
        parts["order_id"] = body.order_id or new_order_id(key)
    command = kind.make(**parts)
    submission = CommandRequest(
        command=command,
        command_id=key,
        fingerprint=fingerprint(kind.method, kind.address(command), body),
        expected_version=given.if_match,
        time=happened_at(body, now),
        recorded_at=now,
        correlation_id=key,
        traceparent=trace,
    )
    return Asked(kind, submission)


def errors(error: ValidationError) -> list[ErrorDetails]:
    """What is wrong with a line, each where a person finds it."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [_of_line(one) for one in found]


def _of_line(error: ErrorDetails) -> ErrorDetails:
    if error["type"].startswith("union_tag"):
        return {**error, "loc": ("command",), "msg": f"Input should be one of {', '.join(KINDS)}"}
    # Within a union pydantic's locations begin with the name of the member, which here is the command's.
    return {**error, "loc": error["loc"][1:]}


def _model(kind: Kind) -> type[BaseModel]:
    """What a line of this kind has."""
    parts = {name: part for name, part in kind.parts.items() if name in kind.in_path or name == "body"}
    fields: dict[str, Any] = {
        "command": (Literal[kind.name], ...),
        "idempotency_key": (_Key, ...),
        "if_match": (_Version | None, None),
        **{name: (part, ...) for name, part in parts.items()},
    }
    return create_model(f"{kind.name}_line", __config__=ConfigDict(extra="forbid"), **fields)


_ANY_LINE: Any = Annotated[reduce(or_, map(_model, KINDS.values())), Field(discriminator="command")]
_LINE: TypeAdapter[Any] = TypeAdapter(_ANY_LINE)

_ORDER = "11111111-2222-4333-8444-555555555555"
_REQUEST_EXAMPLE = (
    f'{{"command": "place_order", "idempotency_key": "a-1", "body": {{"order_id": "{_ORDER}", "customer_id": "ada", '
    '"email": "ada@example.com", "currency": "EUR", '
    '"lines": [{"sku": "TEA-EARL-GREY-100", "quantity": 2, "unit_price": 499}], '
    '"shipping_address": {"name": "Ada Lovelace", "street": "12 Dorset Street", "city": "London", '
    '"postal_code": "SW1Y 4JH", "country": "GB"}}}\n'
    f'{{"command": "change_line_quantity", "idempotency_key": "a-2", "order_id": "{_ORDER}", '
    '"sku": "TEA-EARL-GREY-100", "if_match": 1, "body": {"quantity": 3}}\n'
    f'{{"command": "ship_order", "idempotency_key": "a-3", "order_id": "{_ORDER}", '
    '"body": {"carrier": "DHL", "tracking": "JD01"}}\n'
)
_RESPONSE_EXAMPLE = (
    f'{{"line":1,"status":201,"order_id":"{_ORDER}","version":1,"position":"1:1"}}\n'
    f'{{"line":2,"status":200,"order_id":"{_ORDER}","version":2,"position":"1:2"}}\n'
    '{"line":3,"status":409,"problem":{"type":"urn:orderlog:problem:order-not-paid",'
    '"title":"The order is in the wrong state for this","status":409,'
    '"detail":"ShipOrder takes an order that is paid; this one is open",'
    f'"instance":"/orders/{_ORDER}/ship","order_status":"open","order_version":2}}}}\n'
)


def documented(path: str) -> dict[str, Any]:
    """What the OpenAPI document says of the route at `path`, as arguments of FastAPI's decorator."""
    result = {"schema": {"type": "string", "description": "a result a line"}, "example": _RESPONSE_EXAMPLE}
    content = {"schema": {"type": "string", "description": _described()}, "example": _REQUEST_EXAMPLE}
    responses = {
        200: {"description": "one result a line, in the order of the lines", "content": {MEDIA_TYPE: result}},
        **problems.documented(415),
    }
    return {
        "responses": responses,
        "openapi_extra": {"requestBody": {"required": True, "content": {MEDIA_TYPE: content}}},
        "operation_id": path.strip("/"),
    }


def _described() -> str:
    lines = ["One JSON object a line. `body` is that of the REST request; what stands in its path stands beside it:\n"]
    for kind in KINDS.values():
        beside = ", ".join([*kind.in_path, *(["body"] if "body" in kind.parts else [])])
        lines.append(f"- `{kind.name}` ({kind.method} {kind.path}): {beside}")
    lines.append("\n`idempotency_key` is required, `if_match` is the version the order must have, if any.")
    return "\n".join(lines)
