"""Sends mails over one kept SMTP connection, and tells apart why one did not go."""

import asyncio
from email.message import EmailMessage

import aiosmtplib

from eventlog.settings import Settings

_SECONDS = 30.0


class Refused(Exception):
    """The server will never take this mail (5xx): trying again is of no use."""


class Deferred(Exception):
    """The server does not take this mail now (4xx): try again later."""


class Unreachable(Exception):
    """No mail can be sent now: no connection, no TLS or no login. It says nothing about the mail."""


class Sender:
    """One connection to the settings' mail server, opened when needed. Sends one mail at a time."""

    def __init__(self, settings: Settings) -> None:
        self._client = aiosmtplib.SMTP(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            username=settings.smtp_username or None,
            password=settings.smtp_password or None,
            use_tls=settings.smtp_security == "tls",
            start_tls=settings.smtp_security == "starttls",
            timeout=_SECONDS,
        )
        self._one = asyncio.Lock()

    async def send(self, mail: EmailMessage) -> None:
        """Hand the mail over. Raises Refused, Deferred or Unreachable; after the last the mail may have gone."""
        async with self._one:
            await self._connect()
            try:
                await self._client.send_message(mail)
            except aiosmtplib.SMTPRecipientsRefused as error:
                raise _by_code(max(each.code for each in error.recipients), str(error)) from error
            except (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPTimeoutError, OSError) as error:
                self._client.close()
                raise Unreachable(str(error)) from error
            except aiosmtplib.SMTPResponseException as error:
                if error.code == 421:
                    self._client.close()
                    raise Unreachable(str(error)) from error
                raise _by_code(error.code, str(error)) from error

    def close(self) -> None:
        """Drop the connection."""
        self._client.close()

    async def _connect(self) -> None:
        if self._client.is_connected:
            return
        try:
            await self._client.connect()
        except (aiosmtplib.SMTPException, OSError) as error:
            self._client.close()
            raise Unreachable(str(error)) from error


def _by_code(code: int, reason: str) -> Refused | Deferred:
    return Refused(reason) if code >= 500 else Deferred(reason)
