"""The whole event backbone under load while each service and the broker are killed; in the end everything adds up."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import httpx

from eventlog.recorded import RecordedEvent
from eventlog.settings import Settings
from subscribers.email.mailing import AT_ONCE
from tests.backbone.accounts import (
    ANSWERS,
    MAILED,
    WHOLE,
    assert_decided_once,
    assert_stock_adds_up,
    histories,
    is_taken_in,
    mails_again,
    names,
    owed,
)
from tests.backbone.shop import SCARCE, SKUS, Shop
from tests.backbone.system import System, system_of
from tests.kit.history import violations
from tests.kit.subscribers import PublicTopics
from tests.kit.worlds import eventually, log_of, own_kafka, prepare
from tests.projections.public.topics import agree
from tests.projections.running import caught_up

_ORDERS = 60  # of each fault
_RECEIVED = dict.fromkeys(SKUS, 5_000) | {SCARCE: 90}


async def test_each_service_and_the_broker_killed_under_load(settings: Settings, tmp_path: Path) -> None:
    settings = settings.model_copy(update={"group_session_s": 3.0})
    with own_kafka(settings, tmp_path) as (kafka, here), system_of(here, tmp_path) as system:
        codec = await prepare(here, public=True)
        topics, shop, mails = PublicTopics(here), Shop(system.api.url, seed=7), list[dict[str, Any]]()
        await system.start()
        await receive(system)

        async def broker() -> None:
            kafka.kill()
            await asyncio.to_thread(kafka.start)

        async def mailbox() -> None:
            mails.extend(await system.kill_mailbox())

        async with shop.watching(here):
            for child in (system.public, system.inventory, system.process, system.email, system.api):
                await under_load(system, shop, lambda: asyncio.to_thread(system.kill_and_start, child))  # noqa: B023
            await under_load(system, shop, mailbox)
            # A subscriber whose Kafka client hangs by that ends, to be started again: subscribers/feed.py.
            async with system.supervised():
                await under_load(system, shop, broker)
                await caught_up(here, system.public, "public")
                await eventually(lambda: is_taken_in(here, topics))
                await agree(here, codec)
                await assert_all_adds_up(here, system, topics, await log_of(here, codec), shop, mails)


async def assert_all_adds_up(
    settings: Settings,
    system: System,
    topics: PublicTopics,
    log: Sequence[RecordedEvent],
    shop: Shop,
    mails: list[dict[str, Any]],
) -> None:
    """Log, answers, stock and mails agree with each other, and with what customers were told; `mails` are gone ones."""
    told, answers = topics.read(*WHOLE, *MAILED), topics.read(*ANSWERS)
    orders, owed_to = histories(log), owed(told)
    assert violations(log, shop.acknowledged) == []
    assert orders.keys() == shop.orders
    assert len({answer.event_id for answer in answers}) == len(answers)
    assert_decided_once(orders, answers)
    assert_stock_adds_up(settings, orders, told, _RECEIVED)
    await eventually(lambda: {one["message_id"] for one in mails + system.mailbox.mails()} >= owed_to.keys())
    # Once with the mailbox and once alone the email service was killed; each time so many were under way.
    assert mails_again(mails + system.mailbox.mails(), owed_to) <= (2 + system.restarts) * AT_ONCE
    assert await system.parked() == []
    # It was worth the trouble: there are orders of all fates.
    fates = {name for history in orders.values() for name in names(history)}
    assert fates >= {"OrderConfirmed", "OrderRejected", "OrderCancelled", "OrderShipped", "LineQuantityChanged"}


async def under_load(system: System, shop: Shop, fault: Callable[[], Awaitable[None]]) -> None:
    """Let `fault` happen to the whole system while orders are decided about; return once all of them are."""
    await system.are_ready()
    moment = len(shop.ends) + Random().randint(5, 25)
    trading = asyncio.create_task(shop.trade(_ORDERS))
    await eventually(lambda: trading.done() or len(shop.ends) >= moment, timeout_s=120)
    await fault()
    await trading


async def receive(system: System) -> None:
    """The stock comes in."""
    async with httpx.AsyncClient(base_url=system.inventory.url, timeout=30) as client:
        for sku, quantity in _RECEIVED.items():
            (await client.post(f"/stock/{sku}/receipts", json={"quantity": quantity})).raise_for_status()
