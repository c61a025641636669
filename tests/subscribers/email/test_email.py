"""The email service on a real Postgres and a real mail server: what it takes in, and the mails that come of it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

import migrations
from eventlog.messages import Message
from eventlog.settings import Settings
from schemas import public_events as told
from schemas.public_events import PublicEvent
from service.database import Connection, connect
from subscribers import outbox
from subscribers.deliverer import Deliverer
from subscribers.deliveries import Delivery, Opened
from subscribers.email.subscription import EMAIL
from subscribers.metrics import Metrics
from subscribers.taking import take
from tests.kit.subscribers import told_of
from tests.kit.worlds import eventually
from tests.subscribers.email.mail_server import MailServer
from tests.subscribers.email.orders import ANN, whole


@pytest.fixture
async def connection(settings: Settings) -> AsyncIterator[Connection]:
    """A migrated database."""
    await asyncio.to_thread(migrations.upgrade, settings.postgres_url)
    async with await connect(settings.postgres_url) as opened:
        yield opened


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with MailServer(enable_SMTPUTF8=True) as server:
        yield server


def opened(*events: PublicEvent) -> Sequence[Opened]:
    """Events as they are delivered, each a topic of its own."""
    found = []
    for event in events:
        event_id = f"order.events:0:{event.order_id}:{event.order_version}"
        topic = f"order.{type(event).__name__.removeprefix('Order').lower()}"
        headers = (("ce_id", event_id.encode()),)
        key = str(event.order_id).encode()
        delivery = Delivery(topic, 0, hash(event_id) % 2**40, 0, key, b"", headers)
        found.append(Opened(delivery, Message(event_id, topic, datetime.now(UTC), event)))
    return found


async def rows(connection: Connection, sql: str) -> list[Any]:
    return await (await connection.execute(sql)).fetchall()


async def delivered(connection: Connection, settings: Settings) -> dict[UUID, str]:
    """Work on the outbox until nothing waits that is due; {order: state and reason}."""
    effects = EMAIL.effects
    assert effects
    running = asyncio.create_task(Deliverer(settings, EMAIL, effects, Metrics("email"), "test").run())
    waiting = "SELECT 1 FROM subscribers.outbox WHERE state = 'waiting'"
    await eventually(lambda: _none(connection, waiting))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    found = await rows(connection, "SELECT order_id, state || ': ' || reason FROM subscribers.outbox")
    return dict(found)


async def _none(connection: Connection, sql: str) -> bool:
    return not await rows(connection, sql)


async def soon(connection: Connection) -> None:
    """Have what waits be due now."""
    await connection.execute("UPDATE subscribers.outbox SET due_at = now() WHERE state = 'waiting'")


async def test_each_event_has_one_mail_with_the_newest_contact_however_often_and_in_which_order_it_comes(
    connection: Connection, settings: Settings, server: MailServer
) -> None:
    order, other = uuid4(), uuid4()
    moved = replace(ANN, email="new@example.com")
    events = opened(
        told_of(told.OrderConfirmed, order, 3),
        whole(order, 2, moved, currency="JPY", total=1234),
        whole(order, 1),
        told_of(told.OrderShipped, order, 5, carrier="DHL", tracking="JD01"),
        whole(other),
        told_of(told.OrderRejected, other, 2),
        told_of(told.OrderCancelled, order, 6),
    )
    for _ in range(2):
        await take(connection, EMAIL, events, settings)
    await delivered(connection, server.settings(settings))
    found = {(mail["To"], mail["Subject"].rpartition(" ")[2]) for mail in server.taken}
    assert found == {
        ("Ann <new@example.com>", "confirmed"),
        ("Ann <new@example.com>", "shipped"),
        ("Ann <new@example.com>", "cancelled"),
        ("Ann <ann@example.com>", "rejected"),
    }
    assert len(server.taken) == len({mail["Message-ID"] for mail in server.taken}) == 4
    texts = [str(mail.get_body(("plain",)).get_content()) for mail in server.taken]  # type: ignore[union-attr]
    assert sum("1,234 JPY" in text for text in texts) == 3
    assert sum("DHL" in text and "JD01" in text for text in texts) == 1


async def test_a_mail_waits_for_the_order_as_it_was_confirmed(
    connection: Connection, settings: Settings, server: MailServer
) -> None:
    order = uuid4()
    await take(connection, EMAIL, opened(whole(order), told_of(told.OrderConfirmed, order, 3)), settings)
    running = asyncio.create_task(delivered(connection, server.settings(settings)))
    told_so = "SELECT 1 FROM subscribers.outbox WHERE reason LIKE 'the order as of its version 2 is not known yet'"
    await eventually(lambda: _some(connection, told_so))
    assert server.taken == []
    await take(connection, EMAIL, opened(whole(order, 2, total=500)), settings)
    await soon(connection)
    assert await running == {order: "done: "}
    assert [mail["To"] for mail in server.taken] == ["Ann <ann@example.com>"]


async def _some(connection: Connection, sql: str) -> bool:
    return bool(await rows(connection, sql))


async def test_refused_deferred_and_unwritable_end_as_dead_letters_and_others_go(
    connection: Connection, settings: Settings, server: MailServer
) -> None:
    emails = ["550@example.com", "450@example.com", "no address", "jörg@example.com", None]
    orders = {uuid4(): email for email in emails}
    contacts = {order: replace(ANN, email=email) if email else None for order, email in orders.items()}
    events = [whole(order, 1, contact) for order, contact in contacts.items()]
    events += [told_of(told.OrderConfirmed, order, 2) for order in orders]
    await take(connection, EMAIL, opened(*events), settings)
    states = await delivered(connection, server.settings(settings, mail_attempts=2))
    assert {orders[order]: state for order, state in states.items()} == {
        "550@example.com": "dead: the mail server says 550 <…>: no",
        "450@example.com": "dead: the mail server says 450 <…>: no",
        "no address": "dead: the customer's address is none that mails can be written to",
        "jörg@example.com": "done: ",
        None: "done: the customer's address was erased",
    }
    attempts = await rows(connection, "SELECT attempts FROM subscribers.outbox WHERE reason LIKE '%450%'")
    assert attempts == [(2,)]


async def test_a_deferred_mail_goes_later(connection: Connection, settings: Settings, server: MailServer) -> None:
    order = uuid4()
    await take(connection, EMAIL, opened(whole(order), told_of(told.OrderCancelled, order, 2)), settings)
    server.defer = 1
    assert await delivered(connection, server.settings(settings)) == {order: "done: "}
    assert await rows(connection, "SELECT attempts FROM subscribers.outbox") == [(1,)]
    assert len(server.taken) == 1


async def test_while_the_server_is_away_nothing_counts_as_an_attempt_and_then_all_go(
    connection: Connection, settings: Settings, server: MailServer
) -> None:
    orders = [uuid4() for _ in range(20)]
    events = [whole(order) for order in orders] + [told_of(told.OrderConfirmed, order, 2) for order in orders]
    await take(connection, EMAIL, opened(*events), settings)
    server.no_sender = "550 not from you"
    running = asyncio.create_task(delivered(connection, server.settings(settings, mail_attempts=1)))
    refused = "SELECT 1 FROM subscribers.outbox WHERE reason LIKE '%ORDERLOG_MAIL_FROM%550 not from you'"
    await eventually(lambda: _some(connection, refused))
    server.no_sender = ""
    states = await running
    assert set(states.values()) == {"done: "}
    assert sorted(str(mail["Subject"]).split()[2] for mail in server.taken) == sorted(str(order) for order in orders)


async def test_killed_between_the_mail_and_the_note_sends_it_again_under_its_id(
    connection: Connection, settings: Settings, server: MailServer
) -> None:
    order = uuid4()
    await take(connection, EMAIL, opened(whole(order), told_of(told.OrderConfirmed, order, 2)), settings)
    effects = EMAIL.effects
    assert effects
    async with effects.open(server.settings(settings)) as perform:
        (task,) = await outbox.claim(connection, "email", "killed", 1, 60)
        await perform(task)
    await soon(connection)  # its lease has ended
    await delivered(connection, server.settings(settings))
    assert len(server.taken) == 2
    assert len({mail["Message-ID"] for mail in server.taken}) == 1


async def test_a_database_that_is_away_is_waited_for(settings: Settings, server: MailServer) -> None:
    effects = EMAIL.effects
    assert effects
    away = server.settings(settings, postgres_url="postgresql://postgres@127.0.0.1:1/none")
    task = outbox.Task("mail:e", "e", uuid4(), {"kind": "confirmed", "at": datetime.now(UTC).isoformat(), "since": 1})
    async with effects.open(away) as perform:
        assert isinstance(await perform(task), outbox.Unavailable)
