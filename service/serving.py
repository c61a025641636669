"""Run an ASGI application on a socket that is bound before anything else is started."""

import asyncio
import gc
import signal
import socket
from collections.abc import Awaitable, Callable
from types import FrameType

import structlog
import uvicorn
from starlette.types import ASGIApp

from eventlog.settings import Settings
from service import logs, tracing
from service.http_metrics import Measured
from service.metrics import Exposition
from service.traced_requests import traced

log = structlog.get_logger()


# Longer than any client of ours keeps an idle connection, so that none is closed under a request.
_KEEP_ALIVE_S = 75

BeforeStop = Callable[[], Awaitable[None]]


async def _nothing() -> None:
    return


def run_app(
    app: ASGIApp,
    listener: socket.socket,
    service: str,
    settings: Settings,
    before_stop: BeforeStop = _nothing,
    exposition: Exposition | None = None,
) -> None:
    """Serve `app` until SIGTERM or SIGINT; requests under way are answered first.

    Before it stops listening it awaits `before_stop`; a second signal does not wait for that. Requests are measured;
    /metrics shows `exposition`.
    """
    logs.configure(settings, service)
    tracing.configure(settings, service)
    host, port = listener.getsockname()[:2]
    log.info("listening", url=f"http://{host}:{port}")
    for number in (signal.SIGINT, signal.SIGTERM):
        # Once it has stopped, uvicorn raises the signal again for whoever handled it before: to end by it is
        # what was asked for, and no failure.
        signal.signal(number, lambda _signal, _frame: None)
    spare_the_collector()
    config = uvicorn.Config(
        traced(Measured(app, exposition or Exposition())),
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=20,
    )
    _Server(config, before_stop).run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, before_stop: BeforeStop) -> None:
        super().__init__(config)
        self._before_stop = before_stop
        self._stopping: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """What uvicorn does at a signal, once `before_stop` is done."""
        if self.started and self._stopping is None:
            # Runs in the main thread, between two steps of the loop.
            self._stopping = asyncio.get_event_loop().create_task(self._stop(sig, frame))
        else:
            super().handle_exit(sig, frame)

    async def _stop(self, sig: int, frame: FrameType | None) -> None:
        try:
            await self._before_stop()
        except Exception:
            log.exception("stopping_without_preparation")
        super().handle_exit(sig, frame)


def spare_the_collector() -> None:
    """Have the cycle collector run seldom; to be called once, when what lasts has been made."""
    # What a request leaves is freed by its reference counts. With Python's defaults the cycle collector went
    # through what the process keeps, again and again: a third of the time of a command under load.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
