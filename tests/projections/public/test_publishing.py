"""The publisher on a real broker: all of it, or nothing behind what was refused."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import pytest

from eventlog.messages import Message
from eventlog.partitioning import order_key
from eventlog.reader import log_ends
from eventlog.settings import Settings
from projections.failures import judge
from projections.public.view import PublicView
from projections.publishing import Draft, NotPublished, Publisher
from schemas import public_events as public
from service.verdicts import Retry
from tests.kit.worlds import prepare
from tests.projections.public.topics import set_config

ORDER = UUID("6f1c1f0a-6a5e-4a55-9d5c-0d5f6f1f2a11")


@pytest.fixture
async def publisher(settings: Settings) -> AsyncIterator[Publisher]:
    await prepare(settings, public=True)
    made = await Publisher.load(settings, PublicView.publishes)
    yield made
    await made.close()


async def nothing() -> None:
    pass


def draft(size: int) -> Draft:
    return Draft("order.changed", 1, order_key(ORDER), b"x" * size, [])


async def count(settings: Settings) -> int:
    """How many records are in order.changed."""
    ends = await log_ends(settings.kafka_bootstrap, settings.topic("order.changed"))
    return sum(ends.values())


@pytest.mark.parametrize("known", [0, 1])
async def test_nothing_goes_ahead_of_what_the_broker_refuses(
    settings: Settings, publisher: Publisher, known: int
) -> None:
    """The first message fills a batch, which the topic does not take; the others are another, which it would take.

    It is another matter whether the partition knows the producer.
    """
    await publisher.send([draft(10)] * known, nothing)
    await set_config(settings, "order.changed", max_message_bytes="100000")
    drafts = [draft(985_000), *[draft(20_000)] * 3]
    with pytest.raises(NotPublished, match="Message size too large") as refused:
        await publisher.send(drafts, nothing)
    assert judge(refused.value) == Retry(str(refused.value), "kafka")
    assert await count(settings) == known
    await set_config(settings, "order.changed", max_message_bytes="1000000")
    await publisher.send(drafts, nothing)
    assert await count(settings) == known + 4


async def test_what_no_broker_would_take_is_refused_before(publisher: Publisher) -> None:
    lines = tuple(public.Line(f"SKU-{n}", 1, 1) for n in range(100_000))
    order = public.OrderPlaced(ORDER, 1, "ada", "EUR", lines, 100_000, None)
    message = Message("order.events:0:1", "order.placed", datetime.now(UTC), order)
    with pytest.raises(ValueError, match=r"order.placed of order.events:0:1 has .* bytes, more than 950000"):
        publisher.draft(message)
