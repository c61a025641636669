"""A span for each HTTP request, which goes on with that span as its `traceparent`."""

from opentelemetry.trace import Span, SpanKind
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import tracing

# Asked every few seconds, by machines, about the process and not about an order.
_UNTRACED = frozenset({"/healthz", "/readyz", "/metrics"})
# RFC 9110, section 9, and RFC 5789; any other is a client's invention, and names of spans are to be few.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})


def traced(app: ASGIApp) -> ASGIApp:
    """`app`, with a span for each request if traces are on."""
    return TracedRequests(app) if tracing.is_on() else app


class TracedRequests:
    """ASGI middleware, the outermost: all behind it finds the request's own span in the header `traceparent`.

    So what it causes follows from the request, whether by an event, a command that is sent on, or a query. A header
    that is malformed, or there twice, is as good as none (W3C Trace Context, 3.2.2.3).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and tell what became of it."""
        if scope["type"] != "http" or scope["path"] in _UNTRACED:
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        given = [value for name, value in scope["headers"] if name == b"traceparent"]
        parent = given[0].decode("latin-1") if len(given) == 1 else ""
        span = tracing.begin(method, SpanKind.SERVER, parent, {"http.request.method": method})
        others = [header for header in scope["headers"] if header[0] != b"traceparent"]
        scope = {**scope, "headers": [*others, (b"traceparent", tracing.traceparent_of(span).encode())]}
        try:
            await self._app(scope, receive, _told_to(span, send) if span.is_recording() else send)
        except Exception as error:
            tracing.failed(span, type(error).__name__)
            raise
        finally:
            if route := getattr(scope.get("route"), "path", ""):
                span.update_name(f"{'HTTP' if method == '_OTHER' else method} {route}")
                span.set_attribute("http.route", route)
            span.end()


def _told_to(span: Span, send: Send) -> Send:
    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            status = message["status"]
            span.set_attribute("http.response.status_code", status)
            if status >= 500:
                tracing.failed(span, str(status))
        await send(message)

    return tell
