"""How many requests are served at once: the others wait their turn, and are refused when it does not come.

A refusal that comes at once only makes a client that asks again at once ask more often, and each costs a good part of
what an answer costs. One that waits costs nothing meanwhile, and holds its client back.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from service.problems import MEDIA_TYPE, TYPE

_RETRY_AFTER_S = 1
_TITLE = "Too many requests are waiting"


class Admission:
    """ASGI middleware, the outermost: at most `at_once` requests are inside, others wait up to `wait_s`, then get 503.

    First come, first served. Past `most_waiting` a request is refused at once. Those with the header `exempt`, which
    another instance let in already, and those for `always` paths do not wait. `inside` is how many there are.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        at_once: int,
        wait_s: float,
        most_waiting: int,
        exempt: str,
        always: frozenset[str],
        on_refusal: Callable[[], None] = lambda: None,
    ) -> None:
        self._app = app
        self._at_once, self._wait_s, self._most_waiting = at_once, wait_s, most_waiting
        self._exempt, self._always = exempt.encode(), always
        self._on_refusal = on_refusal
        self.inside = 0
        self._waiting: deque[tuple[float, asyncio.Future[bool]]] = deque()
        self._sweep: asyncio.TimerHandle | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on when its turn has come."""
        if scope["type"] != "http" or scope["path"] in self._always or self._is_exempt(scope):
            await self._app(scope, receive, send)
            return
        if self.inside < self._at_once:
            self.inside += 1
        elif not await self._turn():
            await self._refuse(scope, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self.inside -= 1
            self._admit()

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return len(self._waiting)

    def _is_exempt(self, scope: Scope) -> bool:
        return any(name == self._exempt for name, _ in scope["headers"])

    async def _turn(self) -> bool:
        """Whether the request's turn came; then it counts as inside."""
        if len(self._waiting) >= self._most_waiting:
            return False
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        self._waiting.append((loop.time() + self._wait_s, turn))
        if self._sweep is None:
            self._sweep = loop.call_later(self._wait_s, self._expire)
        return await turn

    def _admit(self) -> None:
        while self._waiting and self.inside < self._at_once:
            _, turn = self._waiting.popleft()
            if not turn.done():  # its client is still there
                self.inside += 1
                turn.set_result(True)

    def _expire(self) -> None:
        # All wait equally long, so those whose time is over are the first; one timer does for all.
        loop = asyncio.get_running_loop()
        while self._waiting and (self._waiting[0][0] <= loop.time() or self._waiting[0][1].done()):
            _, turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(False)
        self._sweep = loop.call_at(self._waiting[0][0], self._expire) if self._waiting else None

    async def _refuse(self, scope: Scope, send: Send) -> None:
        self._on_refusal()
        detail = f"{self._at_once} requests are served at once, and this one's turn did not come in time"
        problem = {"type": TYPE + "overloaded", "title": _TITLE, "status": 503, "detail": detail}
        body = json.dumps({**problem, "instance": scope["path"]}).encode()
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"retry-after", b"%d" % _RETRY_AFTER_S),
        ]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": body})
