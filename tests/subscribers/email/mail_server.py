"""A mail server that refuses and defers on demand, for tests."""

import asyncio
from contextlib import suppress
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP

from eventlog.settings import Settings


class MailServer:
    """Use as an async context manager. `parameters` are aiosmtpd's.

    Recipients that begin with 450 or 550 get that answer, others 450 for `defer` times, and all senders `no_sender`.
    """

    def __init__(self, *, port: int = 0, ssl: Any = None, **parameters: Any) -> None:
        self.port = port
        self._ssl = ssl
        self._parameters = parameters
        self.taken: list[EmailMessage] = []
        self.connections = 0
        self.defer = 0
        self.no_sender = ""

    async def __aenter__(self) -> "MailServer":
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, "127.0.0.1", self.port, ssl=self._ssl)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()

    def settings(self, settings: Settings | None = None, **more: Any) -> Settings:
        """Settings that send to it."""
        return (settings or Settings(_env_file=None)).model_copy(update={"smtp_port": self.port, **more})

    def _protocol(self) -> SMTP:
        self.connections += 1
        return SMTP(self, **self._parameters)

    async def handle_MAIL(self, _server: Any, _session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.no_sender:
            return self.no_sender
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        if address.startswith(("550", "450")):
            return f"{address[:3]} <{address}>: no"
        if self.defer:
            self.defer -= 1
            return "450 not yet"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        with suppress(ValueError):
            self.taken.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"
