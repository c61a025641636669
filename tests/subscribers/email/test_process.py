"""`orderlog subscribe email` and `orderlog serve mailbox` as they run: events in, mails in the mailbox."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from msgspec.structs import replace

from eventlog.settings import Settings
from local_stack import preparing
from schemas import public_events as told
from subscribers.email.mailing import AT_ONCE
from tests.kit.mailbox import MailboxProcess
from tests.kit.subscribers import PublicTopics, Subscriber, told_of
from tests.kit.worlds import eventually, own_postgres
from tests.subscribers.email.orders import ANN, whole


@pytest.fixture
def mailbox(settings: Settings, tmp_path: Path) -> Iterator[MailboxProcess]:
    box = MailboxProcess(settings, tmp_path / "mailbox.log")
    box.start()
    yield box
    box.stop()


@pytest.fixture
def email(topics: PublicTopics, mailbox: MailboxProcess, tmp_path: Path) -> Iterator[Subscriber]:
    """The service, not started; it sends to the mailbox as fast as it can."""
    settings = mailbox.settings.model_copy(update={"mails_per_second": 10_000})
    with ExitStack() as stack:
        service = Subscriber(settings, tmp_path / "email.log", "email")
        stack.callback(service.stop)
        yield service


def confirmed(order_id: UUID) -> list[Any]:
    """The events of an order up to its confirmation, its customer's address its own."""
    contact = replace(ANN, email=f"{order_id}@example.com")
    return [whole(order_id, 1, contact), told_of(told.OrderConfirmed, order_id, 2)]


async def test_events_become_mails_also_those_of_a_time_without_a_mail_server(
    topics: PublicTopics, mailbox: MailboxProcess, email: Subscriber
) -> None:
    first, second = uuid4(), uuid4()
    email.start()
    topics.publish(*confirmed(first), repeated=2)
    (mail,) = await eventually(mailbox.mails, email)
    assert mail["to"] == [f"{first}@example.com"]
    assert mail["subject"] == f"Your order {first} is confirmed"
    assert mail["text"].startswith("Hello Ann,")
    assert "<p>Hello Ann,</p>" in mail["html"]

    mailbox.kill()
    topics.publish(*confirmed(second))
    await eventually(lambda: not email.is_ready(), email)
    reason = await asyncio.to_thread(lambda: httpx.get(f"{email.url}/readyz").json()["reason"])
    assert f"the mail server 127.0.0.1:{email.settings.smtp_port}" in reason
    mailbox.start()
    (mail,) = await eventually(mailbox.mails, email)
    assert mail["subject"] == f"Your order {second} is confirmed"
    await eventually(email.is_ready, email)
    assert "@example.com" not in email.log_file.read_text()


async def test_killed_under_load_each_mail_goes_at_least_once_and_again_only_under_its_id(
    topics: PublicTopics, mailbox: MailboxProcess, email: Subscriber, settings: Settings
) -> None:
    orders, kills = list[UUID](), 4
    email.start_only()
    for _ in range(kills):
        more = [uuid4() for _ in range(100)]
        before = len(mailbox.mails())
        orders += more
        topics.publish(*(event for order in more for event in confirmed(order)))
        await eventually(lambda: len(mailbox.mails()) > before + 20, email)  # noqa: B023
        email.kill()
        email.start_only()
    assert await sent_again(mailbox, orders, email) <= kills * AT_ONCE


async def test_two_share_the_mails_and_one_takes_over_when_the_other_is_killed(
    topics: PublicTopics, mailbox: MailboxProcess, email: Subscriber, settings: Settings, tmp_path: Path
) -> None:
    orders = [uuid4() for _ in range(300)]
    other = Subscriber(email.settings, tmp_path / "other.log", "email")
    email.start()
    other.start()
    try:
        topics.publish(*(event for order in orders for event in confirmed(order)))
        await eventually(lambda: len(mailbox.mails()) > 100, email)
        other.kill()
        unlock(settings)
        again = await sent_again(mailbox, orders, email)
    finally:
        other.stop()
    assert again <= AT_ONCE


async def test_the_database_is_killed_under_load(mailbox: MailboxProcess, tmp_path: Path) -> None:
    orders = [uuid4() for _ in range(200)]
    with own_postgres(mailbox.settings, tmp_path) as (postgres, settings):
        await preparing.prepare(settings)
        topics = PublicTopics(settings)
        email = Subscriber(settings.model_copy(update={"mails_per_second": 10_000}), tmp_path / "email.log", "email")
        email.start()
        try:
            topics.publish(*(event for order in orders for event in confirmed(order)))
            await eventually(lambda: len(mailbox.mails()) > 50, email)
            postgres.kill()
            await eventually(lambda: not email.is_ready(), email)
            postgres.start()
            again = await sent_again(mailbox, orders, email)
        finally:
            email.stop()
    assert again <= AT_ONCE


async def test_stopped_under_load_no_mail_goes_twice(
    topics: PublicTopics, mailbox: MailboxProcess, email: Subscriber
) -> None:
    orders = [uuid4() for _ in range(300)]
    topics.publish(*(event for order in orders for event in confirmed(order)))
    for taken in (20, 100, 200):
        email.start_only()
        await eventually(lambda: len(mailbox.mails()) > taken, email)  # noqa: B023
        email.stop()
    email.start_only()
    await eventually(lambda: len(mailbox.mails()) >= len(orders), email)
    sent = Counter(mail["message_id"] for mail in mailbox.mails())
    assert set(sent.values()) == {1}
    assert len(sent) == len(orders)


async def sent_again(mailbox: MailboxProcess, orders: list[UUID], email: Subscriber) -> int:
    """Once there is a mail about each of `orders`: how many more there are, all of them repeats of these."""
    expected = {f"<{quote(f'{order}:2')}.{order}@example.com>": order for order in orders}
    await eventually(lambda: {mail["message_id"] for mail in mailbox.mails()} >= set(expected), email)
    mails = mailbox.mails()
    for mail in mails:
        assert mail["to"] == [f"{expected[mail['message_id']]}@example.com"]
    return len(mails) - len(orders)


def unlock(settings: Settings) -> None:
    """What a process had claimed that is dead for good is due at once: it would be after a minute."""
    with psycopg.connect(settings.postgres_url) as connection:
        connection.execute("UPDATE subscribers.outbox SET due_at = now() WHERE state = 'waiting' AND due_at > now()")
