import asyncio
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP

from eventlog.settings import Settings
from subscribers.email.smtp import Deferred, Refused, Sender, Unreachable


class Server:
    def __init__(self) -> None:
        self.taken: list[bytes] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address.startswith(("550", "450")):
            return f"{address[:3]} no"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.taken.append(envelope.content)
        return "250 OK"


def mail(to: str) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"] = "shop@example.com", to
    made.set_content("hello")
    return made


async def test_refused_deferred_taken_down_and_back() -> None:
    handler = Server()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(handler), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sender = Sender(Settings(smtp_port=port))
    with pytest.raises(Refused):
        await sender.send(mail("550@example.com"))
    with pytest.raises(Deferred):
        await sender.send(mail("450@example.com"))
    await sender.send(mail("ann@example.com"))
    sender.close()
    server.close()
    with pytest.raises(Unreachable):
        await sender.send(mail("ann@example.com"))
    server = await loop.create_server(lambda: SMTP(handler), "127.0.0.1", port)
    await sender.send(mail("ann@example.com"))
    assert len(handler.taken) == 2
    sender.close()
    server.close()
