"""Send a request on to the instance that writes its partition, over connections that are kept.

It goes once, with the time that is left for it in `Orderlog-Forwarded`, in seconds: an instance that gets this header
decides the command or refuses it, and never sends it further.
"""

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

from aiohttp import ClientConnectorError, ClientError, ClientSession, ClientTimeout, TCPConnector
from starlette.requests import Request
from starlette.responses import Response
from yarl import URL

from command_side.api.refusals import NOT_SERVING
from command_side.outcomes import NotServing, Unanswered
from service.problems import TYPE

FORWARDED, ORDER_ID = "orderlog-forwarded", "orderlog-order-id"
_SENT_ON = ("content-type", "idempotency-key", "if-match", "traceparent")
_SENT_BACK = ("content-type", "etag", "orderlog-position", "retry-after")
_IDLE_S = 60.0  # less than what the servers keep an idle connection
_UNAVAILABLE = 503


def open_session() -> ClientSession:
    """Connections to other instances, kept until it is closed."""
    # The time limit is the caller's, who cancels; as many connections as commands are under way.
    connector = TCPConnector(limit=0, keepalive_timeout=_IDLE_S)
    return ClientSession(connector=connector, timeout=ClientTimeout(), auto_decompress=False)


class Forwarder:
    """Sends requests on over `session`."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    async def send(self, request: Request, order_id: UUID, url: str, left_s: float) -> Response:
        """Have the instance at `url` answer `request`, a command on `order_id`, an id that may have been made up here.

        Raises NotServing when it did not try, Unanswered when it may have.
        """
        headers = {name: request.headers[name] for name in _SENT_ON if name in request.headers}
        headers |= {FORWARDED: f"{left_s:.3f}", ORDER_ID: str(order_id)}
        where = URL(url + request.scope["raw_path"].decode("ascii"), encoded=True)
        try:
            async with self._session.request(
                request.method, where, data=await request.body(), headers=headers
            ) as answer:
                body = await answer.read()
        except ClientConnectorError as error:
            raise NotServing(f"{url} is not reached: {error}") from error
        except (ClientError, OSError) as error:
            raise Unanswered(f"the connection to {url} ended: {error!r}") from error
        if answer.status == _UNAVAILABLE and _was_not_tried(body):
            raise NotServing(f"{url} does not write the partition any more")
        return Response(body, answer.status, {k: v for k in _SENT_BACK if (v := answer.headers.get(k))})


def sender(request: Request, order_id: UUID) -> Callable[[str, float], Awaitable[Response]]:
    """How the router sends `request`, a command on `order_id`, on to another instance."""
    forwarder: Forwarder = request.app.state.forwarder
    return lambda url, left_s: forwarder.send(request, order_id, url, left_s)


def time_left(request: Request) -> float | None:
    """The seconds that a request has which another instance sent on; None for a client's own."""
    with suppress(ValueError):
        given = request.headers.get(FORWARDED)
        return None if given is None else max(float(given), 0.001)
    return None


def forwarded_order_id(request: Request) -> UUID | None:
    """The id that another instance made up for the order it sent on."""
    with suppress(ValueError):
        return UUID(request.headers[ORDER_ID]) if FORWARDED in request.headers and ORDER_ID in request.headers else None
    return None


def is_not_serving(problem: Any) -> bool:
    """Whether the problem says that a command was not tried because the instance does not write its partition."""
    return bool(problem.get("type") == TYPE + NOT_SERVING)


def _was_not_tried(body: bytes) -> bool:
    with suppress(ValueError):
        return is_not_serving(json.loads(body))
    return False
