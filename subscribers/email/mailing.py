"""Carries out the mails that are owed: reads the contact, writes the letter, hands it to the mail server."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import psycopg

from eventlog.settings import Settings
from service.database import Database
from service.verdicts import Retry, judge_postgres
from subscribers.email import contacts
from subscribers.email.contacts import Contact
from subscribers.email.letters import Facts, Kind, letter
from subscribers.email.pace import Pace
from subscribers.email.smtp import Deferred, Refused, Sender, Unreachable
from subscribers.outbox import Dead, Done, Later, Outcome, Perform, Task, Unavailable

# A connection for each. With ORDERLOG_MAILS_PER_SECOND at its least, the last of so many waits 15 s for its turn and
# is given up 30 s later: well before another process may take it for abandoned (subscribers/deliverer.py).
AT_ONCE = 4


@asynccontextmanager
async def open_mailing(settings: Settings) -> AsyncIterator[Perform]:
    """Sends the mails while it is entered."""
    mailing = Mailing(settings)
    try:
        yield mailing.perform
    finally:
        await mailing.close()


class Mailing:
    """Sends mails, `AT_ONCE` at a time, no faster than the settings say."""

    def __init__(self, settings: Settings) -> None:
        self._from = settings.mail_from
        self._pace = Pace(settings.mails_per_second)
        self._database = Database(settings.postgres_url)
        self._reading = asyncio.Lock()
        self._senders = [Sender(settings) for _ in range(AT_ONCE)]
        self._free = list(self._senders)

    async def close(self) -> None:
        """Close the connections."""
        for sender in self._senders:
            sender.close()
        await self._database.close()

    async def perform(self, task: Task) -> Outcome:
        """Send the mail that `task` says. For at most `AT_ONCE` tasks at a time."""
        contact = await self._contact(task)
        if not isinstance(contact, Contact):
            return contact
        if contact.email is None:
            return Done("the customer's address was erased")
        try:
            mail = letter(Kind(task.what["kind"]), _facts(task, contact, contact.email), self._from)
        except ValueError as error:
            return Dead(str(error))
        await asyncio.sleep(self._pace.wait_s(time.monotonic()))
        sender = self._free.pop()  # the one that was used last: its connection is there
        try:
            await sender.send(mail)
        except Refused as error:
            return Dead(str(error))
        except Deferred as error:
            return Later(str(error))
        except Unreachable as error:
            return Unavailable(str(error))
        finally:
            self._free.append(sender)
        return Done()

    async def _contact(self, task: Task) -> Contact | Outcome:
        """Who to write to, or why nobody yet."""
        try:
            async with self._reading, self._database.connection() as connection:
                contact = await contacts.of(connection, task.order_id)
        except psycopg.Error as error:
            verdict = judge_postgres(error)
            if not isinstance(verdict, Retry):
                raise
            return Unavailable(verdict.reason)
        if contact is None or contact.order_version < task.what["since"]:
            # Topics are not in sequence with each other: what it is about is still to come.
            return Later(f"the order as of its version {task.what['since']} is not known yet")
        return contact


def _facts(task: Task, contact: Contact, email: str) -> Facts:
    what = task.what
    return Facts(
        event_id=task.event_id,
        order_id=str(task.order_id),
        at=datetime.fromisoformat(what["at"]),
        email=email,
        name=contact.name or "",
        currency=contact.currency,
        total=contact.total,
        carrier=what.get("carrier", ""),
        tracking=what.get("tracking", ""),
    )
