"""`POST /commands`: a command a line, a result a line, in order, while the request is still being read.

No task and no timer for each line: a line is a future in a bounded queue. While the queue is full nothing more is
read, so a body of any length takes no more memory than its window, and a client that reads slowly sends slowly.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from command_side.api import bulk_lines
from command_side.api.bulk_lines import Asked, read_line
from command_side.api.direct import CommandRoute
from command_side.api.forwarding import time_left
from command_side.api.line_forwarding import LineForwarder, Relayed
from command_side.api.lines import Lines
from command_side.api.preconditions import traceparent
from command_side.api.refusals import Refused, refusal
from command_side.outcomes import Accepted, NotServing, Outcome, Unanswered, Unavailable
from command_side.routing import Router
from service.bodies import require_media_type
from service.problems import described, http_problem, internal_error, invalid_request

PATH = "/commands"
_FLUSH_BYTES = 32 * 1024

router = APIRouter(tags=["commands"], route_class=CommandRoute)


@dataclass(frozen=True, slots=True)
class BulkLimits:
    """How much of a bulk request: bytes of a line, and commands under way."""

    max_line_bytes: int
    max_under_way: int


@router.post(PATH, response_model=None, **bulk_lines.documented(PATH))
async def commands(request: Request) -> Response:
    """Many commands in one request.

    The body has one command a line, each with its own `idempotency_key`; the answer has one result a line, in the
    order of the lines, streamed while the request is still being read. Commands on one order are carried out in the
    order of their lines. A line that is refused does not hold up those after it: `if_match` makes one depend on
    another. Results say what the REST request of the same command would have been answered, and a key that was used
    there counts here. Blank lines have no result. A client that reads no results before it has sent all its lines
    must not send more of them in one request than `ORDERLOG_MAX_BULK_COMMANDS`.
    """
    require_media_type(request.scope, bulk_lines.MEDIA_TYPE)
    return _BulkAnswer(request)


_Forward = Callable[[str, float], Awaitable[Relayed]]


class _UnderWay(NamedTuple):
    """A line's command, how it would be sent on, and what will come of it.

    A tuple, as `Asked` is: one is made for each line, which a frozen dataclass makes three times as dear.
    """

    number: int
    asked: Asked
    forward: _Forward | None
    result: asyncio.Future[Outcome | Relayed] | Unavailable


class _BulkAnswer(Response):
    """Reads the request and answers it at the same time."""

    def __init__(self, request: Request) -> None:
        super().__init__(media_type=bulk_lines.MEDIA_TYPE)
        del self.headers["content-length"]
        self._request = request
        self._trace = traceparent(request)
        self._limits: BulkLimits = request.app.state.bulk_limits
        self._router: Router = request.app.state.router
        self._forwarder: LineForwarder = request.app.state.line_forwarder
        self._given_s = time_left(request)
        # Bytes are the result of a line that asked for nothing; None is the end.
        self._window: asyncio.Queue[_UnderWay | bytes | None] = asyncio.Queue(self._limits.max_under_way)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer every line; a client that goes away ends it, with what was submitted carried out."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read())
            await self._answer(send)

    async def _read(self) -> None:
        lines = Lines(self._limits.max_line_bytes)
        try:
            async for piece in self._request.stream():
                await self._take(lines.feed(piece))
                await asyncio.sleep(0)  # other requests, too, want this process
            await self._take(lines.end())
        except ClientDisconnect:
            pass  # what was submitted is carried out; nobody reads what became of it
        await self._window.put(None)

    async def _take(self, lines: Iterable[tuple[int, bytes | None]]) -> None:
        for number, line in lines:
            if line is None:
                detail = f"a line may have at most {self._limits.max_line_bytes} bytes"
                await self._window.put(_problem(number, http_problem(PATH, 413, detail)))
                continue
            try:
                asked = read_line(line, datetime.now(UTC), self._trace)
            except ValidationError as error:
                await self._window.put(_problem(number, invalid_request(PATH, bulk_lines.errors(error))))
                continue
            await self._window.put(self._under_way(number, line, asked))

    def _under_way(self, number: int, line: bytes, asked: Asked) -> _UnderWay:
        forward = partial(self._forwarder.send, line, self._trace) if self._given_s is None else None
        try:
            result = self._router.enqueue(asked.submission, forward, self._given_s)
        except Unavailable as unavailable:
            return _UnderWay(number, asked, forward, unavailable)
        return _UnderWay(number, asked, forward, result)

    async def _answer(self, send: Send) -> None:
        # Not before the first line was read: a client that waits to be asked for its body gets to hear that first.
        line = await self._window.get()
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        ready = bytearray()
        while line is not None:
            if ready and not _is_there(line):
                await _send_on(send, ready)
            ready += line if isinstance(line, bytes) else _result(line, await self._outcome(line))
            if len(ready) > _FLUSH_BYTES or self._window.empty():
                await _send_on(send, ready)
            line = await self._window.get()
        await send({"type": "http.response.body", "body": bytes(ready)})

    async def _outcome(self, line: _UnderWay) -> Accepted | Relayed | Refused | None:
        """What became of a line; None when a bug kept it from being decided, which the writer has logged."""
        result = line.result
        if isinstance(result, Unavailable):
            return result
        if not result.done():
            await asyncio.wait({result})
        error = result.exception()
        if error is None:
            return result.result()
        if isinstance(error, NotServing) and line.forward:
            try:
                # Its writer stepped down, with nothing appended. The lines behind it get here after it.
                return await self._router.submit(line.asked.submission, line.forward)
            except (Unavailable, Unanswered) as refused:
                return refused
        return error if isinstance(error, Unavailable | Unanswered) else None


async def _send_on(send: Send, ready: bytearray) -> None:
    await send({"type": "http.response.body", "body": bytes(ready), "more_body": True})
    ready.clear()


def _is_there(line: _UnderWay | bytes) -> bool:
    return isinstance(line, bytes) or isinstance(line.result, Unavailable) or line.result.done()


def _result(line: _UnderWay, outcome: Accepted | Relayed | Refused | None) -> bytes:
    if isinstance(outcome, Accepted):
        # Nothing in it needs escaping.
        told = f'"order_id":"{outcome.order_id}","version":{outcome.version},"position":"{outcome.position}"'
        return f'{{"line":{line.number},"status":{line.asked.kind.success},{told}}}\n'.encode()
    if isinstance(outcome, Relayed):
        return msgspec.json.encode({**outcome.result, "line": line.number}) + b"\n"
    instance = line.asked.kind.address(line.asked.submission.command)
    if outcome is None:
        return _problem(line.number, internal_error(instance))
    told_why = refusal(outcome)
    body = described(instance, told_why.status, told_why.slug, told_why.title, told_why.detail, told_why.members)
    return _problem(line.number, body)


def _problem(number: int, body: dict[str, object]) -> bytes:
    return msgspec.json.encode({"line": number, "status": body["status"], "problem": body}) + b"\n"
