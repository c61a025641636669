"""A rebuild of a view tells the world nothing: neither a public event nor a mail is there a second time."""

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from random import Random
from uuid import UUID

from msgspec.structs import replace

from eventlog.settings import Settings
from schemas.events import Contact, OrderConfirmed, OrderEvent
from tests.backbone.accounts import MAILED, mails_again, owed
from tests.backbone.shop import address_of
from tests.kit.mailbox import MailboxProcess
from tests.kit.subscribers import PublicTopics, Subscriber
from tests.kit.worlds import Worker, eventually, prepare
from tests.projections.histories import HOME, placed
from tests.projections.log import log_writer
from tests.projections.public.topics import agree
from tests.projections.running import caught_up
from tests.rebuild.kit import rebuilt


async def test_no_mail_goes_twice_though_the_view_of_the_orders_is_made_anew(
    settings: Settings, tmp_path: Path
) -> None:
    codec = await prepare(settings, public=True)
    topics, mailbox = PublicTopics(settings), MailboxProcess(settings, tmp_path / "mailbox.log")
    view, public = Worker(settings, tmp_path / "orders.log"), Worker(settings, tmp_path / "public.log", "public")
    email = Subscriber(mailbox.settings, tmp_path / "email.log", "email")
    with ExitStack() as stack:
        for child in (mailbox, view, public, email):
            stack.callback(child.kill)
            child.start()

        async def all_mailed() -> None:
            for projection, worker in (("orders", view), ("public", public)):
                await caught_up(settings, worker, projection)
            wanted = owed(topics.read(*MAILED)).keys()
            await eventually(lambda: {mail["message_id"] for mail in mailbox.mails()} >= wanted, email)

        async with log_writer(settings, codec) as writer:
            await writer.append(confirmed(Random(1), 40))
            await all_mailed()
            await rebuilt(settings, tmp_path, view, 3, "orders")
            # What a rebuild had told would be before these.
            await writer.append(confirmed(Random(2), 20))
            await all_mailed()
        assert await agree(settings, codec) == 0
        assert mails_again(mailbox.mails(), owed(topics.read(*MAILED))) == 0
        assert Counter(topics.counts(*MAILED).values()) == {1: 60}


def confirmed(random: Random, orders: int) -> list[OrderEvent]:
    """Orders that are placed and confirmed."""
    events: list[OrderEvent] = []
    for _ in range(orders):
        order = placed(UUID(int=random.getrandbits(128), version=4))
        contact = Contact(address_of(order.order_id), HOME)
        events += [replace(order, personal_data=contact), OrderConfirmed(order.order_id, 998)]
    return events
