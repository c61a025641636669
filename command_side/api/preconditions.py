"""What a command's headers say besides its idempotency key: the expected version, the trace."""

import hashlib
import re
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4, uuid5

from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request

from command_side.api.models import PlaceOrderBody
from eventlog.recorded import sound_traceparent
from service.idempotency import KEY_SCHEMA

MAX_VERSION = 10**18 - 1
_ETAG = re.compile(r'"(\d{1,18})"')
# An order placed without an id gets one from its key, so that a repeat finds the same partition.
_IDS_FROM_KEYS = UUID("5d6d3f0e-0b54-5c0f-9a7e-6f2f1b1f8f10")

HEADERS: dict[str, Any] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "Makes a repeat safe: the same key on the same order gets the same answer.",
            "schema": KEY_SCHEMA,
            "example": "8c6f1f5e-place",
        },
        {
            "name": "If-Match",
            "in": "header",
            "required": False,
            "description": "The version the order must have, as its ETag; 412 if it has another.",
            "schema": {"type": "string", "pattern": '^"[0-9]{1,18}"$'},
            "example": '"1"',
        },
    ]
}


def expected_version(request: Request) -> int | None:
    """The version If-Match names, None without one. Raises 400 when it is not a quoted number."""
    given = request.headers.get("if-match")
    if given is None:
        return None
    if not (match := _ETAG.fullmatch(given.strip())):
        raise HTTPException(400, 'If-Match must be the order\'s version in quotes, for example "3"')
    return int(match[1])


def traceparent(request: Request) -> str:
    """The W3C trace context, empty when there is none or it is malformed (as the standard asks)."""
    return sound_traceparent(request.headers.get("traceparent", "").encode("latin-1"))  # as it came


def happened_at(body: BaseModel | None, now: datetime) -> datetime:
    """When what the command tells happened: as its body says, else now."""
    return (isinstance(body, PlaceOrderBody) and body.placed_at) or now


def new_order_id(key: str | None) -> UUID:
    """An id for an order that was placed without one; a function of the key, when there is one."""
    return uuid4() if key is None else uuid5(_IDS_FROM_KEYS, key)


def fingerprint(method: str, path: str, body: BaseModel | None) -> str:
    """A digest of method, path and body: equal for repeats, whatever the order of their fields and their spaces."""
    # Without what was left out: a field that a later version adds does not make a repeat another request.
    content = body.model_dump_json(exclude_unset=True) if body else ""
    told = f"{method} {path} {content}"
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()
