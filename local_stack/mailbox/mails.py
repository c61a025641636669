"""Mails as the mailbox keeps them. What is in a mail may be anything: nothing here fails on it."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

MOST = 1_000


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail that was taken; `number` counts from 1. `to` is who it was handed over for, whatever its header says."""

    number: int
    received_at: datetime
    sender: str
    to: tuple[str, ...]
    subject: str
    message_id: str
    text: str
    html: str


class Mailbox:
    """The last `MOST` mails, in memory."""

    def __init__(self) -> None:
        self._mails: deque[Mail] = deque(maxlen=MOST)
        self.received = 0

    def take(self, sender: str, to: Sequence[str], content: bytes) -> None:
        """Keep a mail as it came over SMTP, and forget the oldest when there are too many."""
        self.received += 1
        self._mails.append(_read(self.received, sender, tuple(to), content))

    def newest_first(self, before: int | None = None) -> Iterator[Mail]:
        """The mails, those whose number is below `before`."""
        return (mail for mail in reversed(self._mails) if before is None or mail.number < before)

    def find(self, number: int) -> Mail | None:
        """The mail of this number, if it is still here."""
        return next((mail for mail in self._mails if mail.number == number), None)


def _read(number: int, sender: str, to: tuple[str, ...], content: bytes) -> Mail:
    now = datetime.now(UTC)
    try:
        message = message_from_bytes(content, policy=policy.default)
        headers = {name: _sound(str(message[name] or "")).strip() for name in ("Subject", "Message-ID")}
        text, html = _body(message, "plain"), _body(message, "html")
    except Exception:  # the library raises whatever comes to it, at what is no mail
        headers, html = {"Subject": "(not readable as a mail)", "Message-ID": ""}, ""
        text = content.decode(errors="backslashreplace")
    return Mail(number, now, sender, to, headers["Subject"], headers["Message-ID"], text, html)


def _body(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    return _sound(str(body.get_content())).replace("\r\n", "\n") if body else ""


def _sound(text: str) -> str:
    """Without the halves of surrogate pairs that stand for bytes which could not be read: no answer could have them."""
    return text.encode(errors="replace").decode()
