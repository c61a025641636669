"""HTTP by route, the same in every process, whichever server it has; and the page /metrics."""

import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import Counter, Histogram
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import CONTENT_TYPE, Exposition, Family

PATH = "/metrics"
_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER = "other"
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpMetrics:
    """Counts answers. Labels are bounded: a route's template instead of its path, a status' class."""

    def __init__(self, exposition: Exposition) -> None:
        make = Family(exposition, "orderlog_http_")
        self._requests = make.counter("requests", "Requests answered", "method", "route", "status")
        self._durations = make.histogram(
            "request_duration_seconds", "Time until an answer began", _BOUNDS_S, "method", "route"
        )
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer; `route` is "" for a request that no route took."""
        found = self._known.get((method, route, status))
        if found is None:
            found = self._known_from_now_on(method, route, status)
        counter, histogram = found
        counter.inc()
        histogram.observe(seconds)

    def _known_from_now_on(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        labels = {"method": method if method in _METHODS else _OTHER, "route": route or _OTHER}
        found = self._requests.child(**labels, status=f"{status // 100}xx"), self._durations.child(**labels)
        if method in _METHODS:  # anybody can make up others
            self._known[method, route, status] = found
        return found


class Measured:
    """ASGI middleware, the outermost: measures each request until its answer begins, and answers /metrics itself.

    So time spent waiting for a turn counts, and a stream's length does not. A client that left is not counted.
    """

    def __init__(self, app: ASGIApp, exposition: Exposition) -> None:
        self._app = app
        self._exposition = exposition
        self._http = HttpMetrics(exposition)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] == PATH:
            page = Response(self._exposition.render(), headers={"Content-Type": CONTENT_TYPE})
            await page(scope, receive, send)
            return
        began = time.perf_counter()

        async def measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "")
                self._http.answered(scope["method"], route, message["status"], time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, measured)


def measure_aiohttp(app: web.Application, exposition: Exposition) -> None:
    """Measure the requests to `app`, which is not running yet, in the same way, and give it /metrics."""
    http = HttpMetrics(exposition)

    @web.middleware
    async def measured(request: web.Request, handler: _Handler) -> web.StreamResponse:
        began, status = time.perf_counter(), 500
        try:
            answer = await handler(request)
            status = answer.status
            return answer
        except web.HTTPException as refused:
            status = refused.status
            raise
        finally:
            resource = request.match_info.route.resource
            route = resource.canonical if resource else ""
            if route != PATH:
                http.answered(request.method, route, status, time.perf_counter() - began)

    async def page(_request: web.Request) -> web.Response:
        return web.Response(body=exposition.render(), headers={"Content-Type": CONTENT_TYPE})

    app.middlewares.append(measured)
    app.router.add_get(PATH, page)
