"""Mails go over a real SMTP connection; a refusal, a delay and a server that is away are told apart."""

import asyncio
import ssl
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult

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


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_nobody_vouches_for_is_refused_and_a_trusted_one_logs_in(
    security: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler, authority, cert = Server(), trustme.CA(), tmp_path / "cert.pem"
    authority.cert_pem.write_to_path(cert)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    starttls = context if security == "starttls" else None

    def login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"ann", b"secret"), handled=False)

    def protocol() -> SMTP:
        return SMTP(
            handler,
            tls_context=starttls,
            authenticator=login,
            auth_required=True,
            auth_require_tls=starttls is not None,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=context if security == "tls" else None)
    port = server.sockets[0].getsockname()[1]
    settings = Settings(smtp_port=port, smtp_security=security, smtp_username="ann", smtp_password="secret")
    with pytest.raises(Unreachable):
        await Sender(settings).send(mail("ann@example.com"))
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    sender = Sender(settings)
    await sender.send(mail("ann@example.com"))
    assert len(handler.taken) == 1
    sender.close()
    mistaken = Sender(settings.model_copy(update={"smtp_password": "guessed"}))
    with pytest.raises(Unreachable):
        await mistaken.send(mail("ann@example.com"))
    mistaken.close()
    server.close()
