"""The mailbox's page, its JSON, and the SMTP server beside them."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from itertools import islice
from typing import Any

import structlog
from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from eventlog.settings import Settings
from local_stack.mailbox.mails import MOST, Mailbox
from schemas.errors import BadInput
from service import problems
from service.serving import run_app
from service.sockets import listen

try:
    from aiosmtpd.smtp import SMTP
except ImportError:
    raise BadInput("the mailbox needs aiosmtpd: pip install 'orderlog[local]'") from None

log = structlog.get_logger()
_MOST_BYTES = 262_144
_ON_A_PAGE = 50
_PAGES = Environment(loader=PackageLoader("local_stack.mailbox"), autoescape=True, undefined=StrictUndefined)
# The mail's HTML is in a frame that has these rules too: nothing is fetched, no script runs, no form is sent.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _Handler:
    """What aiosmtpd asks."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:
        self._mailbox.take(envelope.mail_from or "", envelope.rcpt_tos, envelope.content)
        return "250 it is in the mailbox"


def serve(settings: Settings) -> None:
    """Serve the mailbox until SIGTERM or SIGINT. Raises OSError when a port of it is taken."""
    page = listen(settings.mailbox_host, settings.mailbox_port)
    smtp = listen(settings.mailbox_host, settings.mailbox_smtp_port)
    run_app(create_app(smtp), page, "mailbox", settings)


def create_app(smtp: socket.socket) -> FastAPI:
    """The application; mails are taken on `smtp` while it runs."""
    mailbox = Mailbox()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        def protocol() -> SMTP:
            return SMTP(_Handler(mailbox), data_size_limit=_MOST_BYTES, enable_SMTPUTF8=True, hostname="mailbox")

        server = await asyncio.get_running_loop().create_server(protocol, sock=smtp)
        log.info("takes_mails", port=smtp.getsockname()[1])
        yield
        server.close()

    app = FastAPI(title="orderlog mailbox", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    problems.install(app)
    _add_pages(app, mailbox)
    return app


def _add_pages(app: FastAPI, mailbox: Mailbox) -> None:
    @app.get("/", include_in_schema=False)
    async def mails(before: int | None = None) -> Response:
        """The mails, newest first, a page of them."""
        found = list(islice(mailbox.newest_first(before), _ON_A_PAGE + 1))
        shown, older = found[:_ON_A_PAGE], found[_ON_A_PAGE:]
        return _page("mails.html.j2", mails=shown, older=bool(older), first=before is None, most=MOST)

    @app.get("/mails/{number}", include_in_schema=False)
    async def one(number: int) -> Response:
        """One mail, as text and as HTML."""
        mail = mailbox.find(number)
        if mail is None:
            return _page("gone.html.j2", 404, number=number, most=MOST)
        return _page("mail.html.j2", mail=mail)

    @app.get("/messages")
    async def messages(before: int | None = None) -> list[dict[str, Any]]:
        """For programs: the mails that are here, newest first; `before` a number, only older ones."""
        return [asdict(mail) for mail in mailbox.newest_first(before)]

    @app.get("/healthz", include_in_schema=False)
    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> dict[str, Any]:
        """Mails are taken whenever this answers."""
        return {"status": "ready", "received": mailbox.received}


def _page(template: str, status: int = 200, **shown: Any) -> Response:
    return HTMLResponse(_PAGES.get_template(template).render(shown), status, _HEADERS)
