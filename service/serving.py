"""Run an ASGI application on a socket that is bound before anything else is started."""

import gc
import signal
import socket
from collections.abc import Callable

import structlog
import uvicorn
from fastapi import FastAPI

from eventlog.settings import Settings
from service import logs

log = structlog.get_logger()


class _Server(uvicorn.Server):
    """uvicorn, with a word to the application when it is to stop, before requests under way are waited for."""

    def __init__(self, config: uvicorn.Config, stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so, then stop."""
        self._stopping()
        await super().shutdown(sockets)


def run_app(
    app: FastAPI,
    listener: socket.socket,
    service: str,
    settings: Settings,
    stopping: Callable[[], None] = lambda: None,
) -> None:
    """Serve `app` until SIGTERM or SIGINT; requests under way are answered first.

    `stopping` is called before that, to end what would go on by itself, like a stream of events.
    """
    logs.configure(settings, service)
    host, port = listener.getsockname()[:2]
    log.info("listening", url=f"http://{host}:{port}")
    for number in (signal.SIGINT, signal.SIGTERM):
        # Once it has stopped, uvicorn raises the signal again for whoever handled it before: to end by it is
        # what was asked for, and no failure.
        signal.signal(number, lambda _signal, _frame: None)
    spare_the_collector()
    config = uvicorn.Config(app, log_config=None, access_log=False, proxy_headers=False, timeout_graceful_shutdown=20)
    _Server(config, stopping).run(sockets=[listener])


def spare_the_collector() -> None:
    """Have the cycle collector run seldom; to be called once, when what lasts has been made."""
    # What a request leaves is freed by its reference counts. With Python's defaults the cycle collector went
    # through what the process keeps, again and again: a third of the time of a command under load.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
