"""Send lines of bulk requests on to the instances that write their partitions.

The lines that wait for one instance go together, as a bulk request of their own, one after the other: so they stay in
order, and cost little each, as commands do in a group commit.
"""

import asyncio
from typing import Any, NamedTuple

import msgspec
from aiohttp import ClientConnectorError, ClientError, ClientSession, ClientTimeout

from command_side.api import bulk_lines
from command_side.api.forwarding import FORWARDED, is_not_serving
from command_side.outcomes import NotServing, Unanswered

_OK = 200


class Relayed(NamedTuple):
    """The result that another instance gave a line; its `line` is the number there."""

    result: dict[str, Any]


class _Waiting(NamedTuple):
    line: bytes
    deadline: float
    relayed: "asyncio.Future[Relayed]"


class _Where(NamedTuple):
    """Lines of one trace go together: the header is the request's, not the line's."""

    url: str
    trace: str


class LineForwarder:
    """Sends lines on over `session`, to the bulk route at `path` of other instances."""

    def __init__(self, session: ClientSession, path: str) -> None:
        self._session = session
        self._path = path
        self._waiting: dict[_Where, list[_Waiting]] = {}
        self._senders: dict[_Where, asyncio.Task[None]] = {}

    async def send(self, line: bytes, trace: str, url: str, left_s: float) -> Relayed:
        """What the instance at `url` says of `line`, part of a request with the traceparent `trace`.

        Raises NotServing when it was not tried, Unanswered when it may be in the log.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(line, loop.time() + left_s, loop.create_future())
        where = _Where(url, trace)
        self._waiting.setdefault(where, []).append(waiting)
        if where not in self._senders:
            self._senders[where] = asyncio.create_task(self._send_all(where))
        return await waiting.relayed

    async def _send_all(self, where: _Where) -> None:
        url = where.url
        try:
            while lines := self._waiting.pop(where, []):
                failure: Exception = Unanswered(f"{url} left lines without a result")
                try:
                    await self._send_together(where, lines)
                except ClientConnectorError as error:
                    failure = NotServing(f"{url} is not reached: {error}")
                except (ClientError, OSError, TimeoutError, ValueError) as error:
                    failure = Unanswered(f"the connection to {url} ended: {error!r}")
                for waiting in lines:
                    if not waiting.relayed.done():
                        waiting.relayed.set_exception(failure)
        finally:
            del self._senders[where]

    async def _send_together(self, where: _Where, lines: list[_Waiting]) -> None:
        now = asyncio.get_running_loop().time()
        left_s = max(min(waiting.deadline for waiting in lines) - now, 0.001)
        headers = {"content-type": bulk_lines.MEDIA_TYPE, FORWARDED: f"{left_s:.3f}"}
        if where.trace:
            headers["traceparent"] = where.trace
        body = b"\n".join(waiting.line for waiting in lines)
        async with self._session.post(
            where.url + self._path, data=body, headers=headers, timeout=ClientTimeout(total=2 * left_s)
        ) as answer:
            if answer.status != _OK:
                raise ValueError(f"it answered {answer.status}")
            async for text in answer.content:
                result = msgspec.json.decode(text)
                _take(lines[result["line"] - 1].relayed, result)


def _take(relayed: "asyncio.Future[Relayed]", result: dict[str, Any]) -> None:
    if relayed.done():  # nobody waits for it any more
        return
    if is_not_serving(result.get("problem", {})):
        relayed.set_exception(NotServing("the partition is not written there any more"))
    else:
        relayed.set_result(Relayed(result))
