"""Run an ASGI application on a socket that is bound before anything else is started."""

import gc
import signal
import socket

import structlog
import uvicorn
from fastapi import FastAPI

from eventlog.settings import Settings
from service import logs

log = structlog.get_logger()


def run_app(app: FastAPI, listener: socket.socket, service: str, settings: Settings) -> None:
    """Serve `app` until SIGTERM or SIGINT; requests under way are answered first."""
    logs.configure(settings, service)
    host, port = listener.getsockname()[:2]
    log.info("listening", url=f"http://{host}:{port}")
    for number in (signal.SIGINT, signal.SIGTERM):
        # Once it has stopped, uvicorn raises the signal again for whoever handled it before: to end by it is
        # what was asked for, and no failure.
        signal.signal(number, lambda _signal, _frame: None)
    spare_the_collector()
    config = uvicorn.Config(app, log_config=None, access_log=False, proxy_headers=False, timeout_graceful_shutdown=20)
    uvicorn.Server(config).run(sockets=[listener])


def spare_the_collector() -> None:
    """Have the cycle collector run seldom; to be called once, when what lasts has been made."""
    # What a request leaves is freed by its reference counts. With Python's defaults the cycle collector went
    # through what the process keeps, again and again: a third of the time of a command under load.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
