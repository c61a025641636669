"""Refuse request bodies that are too large or not JSON before anything reads them."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_WITH_BODY = {"POST", "PUT", "PATCH"}


class JsonBodies:
    """ASGI middleware: 413 past `max_bytes`, counted as they arrive; 415 for anything but JSON.

    Not for the paths of `streamed`, which read a body of any length piece by piece.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, streamed: frozenset[str] = frozenset()) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._streamed = streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `receive` that counts; the app's error handlers answer what it raises."""
        if scope["type"] == "http" and scope["method"] in _WITH_BODY and scope["path"] not in self._streamed:
            receive = limited(scope, receive, self._max_bytes)
        await self._app(scope, receive, send)


def limited(scope: Scope, receive: Receive, max_bytes: int) -> Receive:
    """A `receive` that raises HTTPException: 413 past `max_bytes`, 415 at a body that is not JSON."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        chunk = message.get("body", b"")
        if chunk and not seen:
            require_media_type(scope, "application/json")
        seen += len(chunk)
        if seen > max_bytes:
            raise HTTPException(413, f"a request body may have at most {max_bytes} bytes")
        return message

    return counted


def require_media_type(scope: Scope, wanted: str) -> None:
    """Return when the request's Content-Type is `wanted`, whatever its parameters; raises 415."""
    given = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"content-type"), "")
    media_type = given.partition(";")[0].strip().lower()
    if media_type != wanted:
        raise HTTPException(415, f"send Content-Type: {wanted}, not {given or 'none'}")
