"""A worker's own pages: /healthz, /readyz, /metrics, on Faust's web server over a socket that was bound before."""

import socket
from typing import Any

from aiohttp.web import SockSite
from faust.web.drivers.aiohttp import Web

from projections.metrics import Metrics
from projections.watchdog import Watchdog
from projections.worker import Worker
from service.http_metrics import measure_aiohttp


class BoundWeb(Web):  # type: ignore[misc]  # Faust has no types
    """Faust's web server on a listener of ours, so that a taken port is known at once, and port 0 by its number."""

    listener: socket.socket

    def _new_transport_tcp(self) -> SockSite:
        return SockSite(self._runner, self.listener)


def serve_health(app: Any, worker: Worker, watchdog: Watchdog, metrics: Metrics, listener: socket.socket) -> None:
    """Add the pages to `app`, to be served on `listener`."""
    app.web = BoundWeb(app)
    app.web.listener = listener
    measure_aiohttp(app.web.web_app, metrics.exposition)

    @app.page("/healthz")  # type: ignore[untyped-decorator]
    async def healthz(view: Any, request: Any) -> Any:
        """The process answers."""
        return view.json({"status": "ok"})

    @app.page("/readyz")  # type: ignore[untyped-decorator]
    async def readyz(view: Any, request: Any) -> Any:
        """Whether events flow into the view; what they wait for, if not; what the watchdog saw last."""
        standing = watchdog.standing
        reason = _not_ready(app, worker, watchdog)
        body = {
            "status": "not ready" if reason else "ready",
            "reason": reason,
            "partitions": sorted(tp.partition for tp in app.consumer.assignment() if tp.topic == app.log_topic),
            "state": standing.state,
            "lag_events": sum(standing.lag_events.values()),
        }
        return view.json(body, status=503 if reason else 200)


def _not_ready(app: Any, worker: Worker, watchdog: Watchdog) -> str | None:
    if worker.waiting_for:
        return worker.waiting_for
    if app.rebalancing or not app.tables.recovery.completed.is_set():
        return "partitions are being assigned"
    # A look is some seconds old: what has been assigned since is not in it.
    standing = watchdog.standing
    return standing.reason if standing.state in ("waiting", "stuck") else None
