"""Run an ASGI application on a socket that is bound before anything else is started."""

import socket

import structlog
import uvicorn
from fastapi import FastAPI

from eventlog.settings import Settings
from service import logs

log = structlog.get_logger()


def listen(host: str, port: int) -> socket.socket:
    """A bound TCP socket; port 0 picks a free one. Raises OSError that names address and port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}; choose another port") from error
    return listener


def run_app(app: FastAPI, listener: socket.socket, service: str, settings: Settings) -> None:
    """Serve `app` until SIGTERM or SIGINT; requests under way are answered first."""
    logs.configure(settings, service)
    host, port = listener.getsockname()[:2]
    log.info("listening", url=f"http://{host}:{port}")
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=20)
    uvicorn.Server(config).run(sockets=[listener])
