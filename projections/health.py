"""A worker's /healthz and /readyz, on Faust's own web server, over a socket that was bound before Faust started."""

import socket
from typing import Any

from aiohttp.web import SockSite
from faust.web.drivers.aiohttp import Web

from projections.worker import Worker


class BoundWeb(Web):  # type: ignore[misc]  # Faust has no types
    """Faust's web server on a listener of ours, so that a taken port is known at once, and port 0 by its number."""

    listener: socket.socket

    def _new_transport_tcp(self) -> SockSite:
        return SockSite(self._runner, self.listener)


def serve_health(app: Any, worker: Worker, listener: socket.socket) -> None:
    """Add the two pages to `app`, to be served on `listener`."""
    app.web = BoundWeb(app)
    app.web.listener = listener

    @app.page("/healthz")  # type: ignore[untyped-decorator]
    async def healthz(view: Any, request: Any) -> Any:
        """The process answers."""
        return view.json({"status": "ok"})

    @app.page("/readyz")  # type: ignore[untyped-decorator]
    async def readyz(view: Any, request: Any) -> Any:
        """Whether events flow into the view, and if not, what they wait for."""
        reason = _not_ready(app, worker)
        partitions = sorted(tp.partition for tp in app.consumer.assignment() if tp.topic == app.log_topic)
        body = {"status": "not ready" if reason else "ready", "reason": reason, "partitions": partitions}
        return view.json(body, status=503 if reason else 200)


def _not_ready(app: Any, worker: Worker) -> str | None:
    if app.rebalancing or not app.tables.recovery.completed.is_set():
        return "partitions are being assigned"
    return worker.waiting_for
