"""Sends mails over one kept SMTP connection, and tells apart why one did not go."""

import asyncio
import time
from email.message import EmailMessage

import aiosmtplib

from eventlog.settings import Settings

WITHIN_S = 30.0  # a mail is handed over, or given up, connecting and logging in included
_IDLE_S = 20.0  # servers close a connection that is idle for longer, some after a minute


class Refused(Exception):
    """The server will never take this mail (5xx): trying again is of no use."""


class Deferred(Exception):
    """The server does not take this mail now (4xx): try again later."""


class Unreachable(Exception):
    """No mail can be sent now: no connection, TLS or login, or not from this sender. It says nothing about the mail."""


class Sender:
    """One connection to the settings' mail server, opened when needed. For one task at a time."""

    def __init__(self, settings: Settings) -> None:
        self._server = f"{settings.smtp_host}:{settings.smtp_port}"
        self._used = 0.0
        self._client = aiosmtplib.SMTP(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            username=settings.smtp_username or None,
            password=settings.smtp_password or None,
            use_tls=settings.smtp_security == "tls",
            start_tls=settings.smtp_security == "starttls",
            timeout=WITHIN_S,
        )

    async def send(self, mail: EmailMessage) -> None:
        """Hand the mail over. Raises Refused, Deferred or Unreachable; after the last the mail may have gone.

        What is raised does not tell the address: it gets into logs.
        """
        try:
            async with asyncio.timeout(WITHIN_S):
                await self._connect()
                self._used = time.monotonic()
                await self._send(mail)
        except TimeoutError:
            self.close()
            raise Unreachable(f"the mail server {self._server} does not answer within {WITHIN_S:g} s") from None

    def close(self) -> None:
        """Drop the connection."""
        self._client.close()

    async def _connect(self) -> None:
        if self._client.is_connected and time.monotonic() - self._used > _IDLE_S:
            self.close()
        if self._client.is_connected:
            return
        try:
            await self._client.connect()
        except (aiosmtplib.SMTPException, OSError) as error:
            self.close()
            raise Unreachable(f"the mail server {self._server}: {_said(error)}") from error

    async def _send(self, mail: EmailMessage) -> None:
        (recipient,) = (address.addr_spec for address in mail["To"].addresses)
        try:
            await self._client.send_message(mail)
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise self._answer(error.recipients[0].code, error.recipients[0].message, recipient) from error
        except aiosmtplib.SMTPSenderRefused as error:
            # Whoever the mail is for, it would be said of the next one too.
            raise Unreachable(
                f"the mail server {self._server} takes no mail from {error.sender} (ORDERLOG_MAIL_FROM): {_said(error)}"
            ) from error
        except aiosmtplib.SMTPNotSupported as error:
            raise Refused("the mail server takes no address in another script (SMTPUTF8)") from error
        except aiosmtplib.SMTPResponseException as error:
            raise self._answer(error.code, error.message, recipient) from error
        except (aiosmtplib.SMTPException, OSError) as error:  # it is gone, or makes no sense
            self.close()
            raise Unreachable(f"the mail server {self._server}: {_said(error)}") from error

    def _answer(self, code: int, said: str, recipient: str) -> Refused | Deferred | Unreachable:
        reason = f"the mail server says {code} {' '.join(said.split())}".replace(recipient, "…")
        if code == 421:  # it is about to close the connection (RFC 5321, 3.8)
            self.close()
            return Unreachable(reason)
        return Refused(reason) if code >= 500 else Deferred(reason)


def _said(error: Exception) -> str:
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return f"{error.code} {' '.join(error.message.split())}"
    return str(error) or type(error).__name__
