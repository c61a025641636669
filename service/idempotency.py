"""The Idempotency-Key of a request, the same wherever one is taken."""

import re

from starlette.exceptions import HTTPException
from starlette.requests import Request

KEY_PATTERN = r"^[!-~]{1,255}$"
KEY_SCHEMA = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
_KEY = re.compile(KEY_PATTERN)


def idempotency_key(request: Request) -> str | None:
    """The client's key, None when it gave none. Raises 400 when it is not 1 to 255 visible ASCII characters."""
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise HTTPException(400, "Idempotency-Key must be 1 to 255 visible ASCII characters")
    return key
