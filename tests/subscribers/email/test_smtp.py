"""Mails go over a real SMTP connection; a refusal, a delay and a server that is away are told apart."""

import asyncio
import ssl
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.smtp import AuthResult

from subscribers.email import smtp
from subscribers.email.smtp import Deferred, Refused, Sender, Unreachable
from tests.subscribers.email.mail_server import MailServer


def mail(to: str) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"] = "shop@example.com", to
    made.set_content("hello")
    return made


async def test_refused_deferred_taken_down_and_back() -> None:
    async with MailServer() as server:
        sender = Sender(server.settings())
        with pytest.raises(Refused, match="550 <…>: no") as refused:
            await sender.send(mail("550@example.com"))
        assert "550@example.com" not in str(refused.value)
        with pytest.raises(Deferred):
            await sender.send(mail("450@example.com"))
        await sender.send(mail("ann@example.com"))
        assert server.connections == 1
    sender.close()
    with pytest.raises(Unreachable):
        await sender.send(mail("ann@example.com"))
    async with MailServer(port=server.port) as server:
        await sender.send(mail("ann@example.com"))
        assert len(server.taken) == 1
        sender.close()


@pytest.mark.parametrize("answer", ["550 5.7.1 you are not a sender of ours", "451 too many mails from you"])
async def test_that_the_sender_is_refused_is_no_mails_fault(answer: str) -> None:
    async with MailServer() as server:
        sender = Sender(server.settings())
        server.no_sender = answer
        with pytest.raises(Unreachable, match=f"ORDERLOG_MAIL_FROM.*{answer}"):
            await sender.send(mail("ann@example.com"))
        server.no_sender = ""
        await sender.send(mail("ann@example.com"))
        sender.close()


async def test_an_address_in_another_script_needs_a_server_that_takes_it() -> None:
    async with MailServer(enable_SMTPUTF8=True) as server:
        sender = Sender(server.settings())
        await sender.send(mail("jörg@example.com"))
        assert server.taken[0]["To"] == "jörg@example.com"
        sender.close()
    async with MailServer() as server:
        sender = Sender(server.settings())
        with pytest.raises(Refused, match="SMTPUTF8"):
            await sender.send(mail("jörg@example.com"))
        await sender.send(mail("ann@example.com"))
        sender.close()


@pytest.mark.parametrize("greets", [True, False])
async def test_a_server_that_says_nothing_is_given_up(greets: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = asyncio.Event()

    async def silent(_reader: Any, writer: asyncio.StreamWriter) -> None:
        if greets:
            writer.write(b"220 hello\r\n")
        await ends.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sender = Sender(MailServer(port=port).settings())
    monkeypatch.setattr(smtp, "WITHIN_S", 0.2)  # shorter than the client's own patience
    for _ in range(2):
        with pytest.raises(Unreachable, match="does not answer within"):
            await sender.send(mail("ann@example.com"))
    monkeypatch.undo()
    ends.set()
    server.close()
    async with MailServer(port=port) as other:
        await sender.send(mail("ann@example.com"))
        assert len(other.taken) == 1
        sender.close()


@pytest.mark.parametrize("greeting", ["554 go away", "hello, I am no mail server", ""])
async def test_what_is_no_mail_server_is_unreachable(greeting: str) -> None:
    async def other(_reader: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{greeting}\r\n".encode())
        writer.close()

    server = await asyncio.start_server(other, "127.0.0.1", 0)
    sender = Sender(MailServer(port=server.sockets[0].getsockname()[1]).settings())
    with pytest.raises(Unreachable):
        await sender.send(mail("ann@example.com"))
    server.close()


async def test_a_connection_that_idled_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async with MailServer() as server:
        sender = Sender(server.settings())
        await sender.send(mail("ann@example.com"))
        monkeypatch.setattr(smtp, "_IDLE_S", -1.0)
        await sender.send(mail("ann@example.com"))
        assert (server.connections, len(server.taken)) == (2, 2)
        sender.close()


async def test_nothing_is_sent_in_the_clear_to_a_server_without_starttls() -> None:
    async with MailServer() as server:
        sender = Sender(server.settings(smtp_security="starttls", smtp_username="ann", smtp_password="secret"))
        with pytest.raises(Unreachable):
            await sender.send(mail("ann@example.com"))
        assert server.taken == []
        sender.close()


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_nobody_vouches_for_is_refused_and_a_trusted_one_logs_in(
    security: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, cert = trustme.CA(), tmp_path / "cert.pem"
    authority.cert_pem.write_to_path(cert)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    starttls = context if security == "starttls" else None

    def login(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"ann", b"secret"), handled=False)

    async with MailServer(
        ssl=context if security == "tls" else None,
        tls_context=starttls,
        authenticator=login,
        auth_required=True,
        auth_require_tls=starttls is not None,
    ) as server:
        settings = server.settings(smtp_security=security, smtp_username="ann", smtp_password="secret")
        with pytest.raises(Unreachable):
            await Sender(settings).send(mail("ann@example.com"))
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        sender = Sender(settings)
        await sender.send(mail("ann@example.com"))
        assert len(server.taken) == 1
        sender.close()
        mistaken = Sender(settings.model_copy(update={"smtp_password": "guessed"}))
        with pytest.raises(Unreachable):
            await mistaken.send(mail("ann@example.com"))
        mistaken.close()
        # A server that wants a login and gets none: nobody's mail is to blame.
        nobody = Sender(settings.model_copy(update={"smtp_username": "", "smtp_password": ""}))
        with pytest.raises(Unreachable):
            await nobody.send(mail("ann@example.com"))
        nobody.close()
