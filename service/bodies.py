"""Refuse request bodies that are too large or not JSON before anything reads them."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_WITH_BODY = {"POST", "PUT", "PATCH"}


class JsonBodies:
    """ASGI middleware: 413 past `max_bytes`, counted as they arrive; 415 for anything but JSON."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `receive` that counts; the app's error handlers answer what it raises."""
        if scope["type"] != "http" or scope["method"] not in _WITH_BODY:
            await self._app(scope, receive, send)
            return
        seen = 0

        async def limited() -> Message:
            nonlocal seen
            message = await receive()
            chunk = message.get("body", b"")
            if chunk and not seen:
                _require_json(scope)
            seen += len(chunk)
            if seen > self._max_bytes:
                raise HTTPException(413, f"a request body may have at most {self._max_bytes} bytes")
            return message

        await self._app(scope, limited, send)


def _require_json(scope: Scope) -> None:
    given = Request(scope).headers.get("content-type", "")
    media_type = given.partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise HTTPException(415, f"send Content-Type: application/json, not {given or 'none'}")
