"""Commands to measure with, and a log full of their events."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from command_side.bootstrap import running_router
from command_side.domain.commands import Command, ConfirmOrder, PlaceOrder, RecordPayment
from command_side.election import Candidate
from command_side.order_store import OrderStore
from command_side.outcomes import Accepted, CommandRequest
from command_side.partition_state import PartitionState
from command_side.routing import Router
from eventlog.fencing import LogClient
from eventlog.settings import Settings
from schemas.codec import Codec
from schemas.events import Address, Line
from schemas.publish import load_codec

_ADDRESS = Address("Ada Lovelace", "12 St James's Square", "London", "SW1Y 4JH", "GB")
_LINES = (Line("TEA-EARL-GREY-100", 2, 499), Line("CUP-WHITE", 4, 1250))
_AT_ONCE = 2_000


def order() -> PlaceOrder:
    """A new order of two lines."""
    return PlaceOrder(uuid4(), f"customer-{uuid4().hex[:4]}", "ada@example.com", "EUR", _LINES, _ADDRESS)


def request(command: Command) -> CommandRequest:
    """The command as the API would submit it, with a key."""
    key, now = uuid4().hex, datetime.now(UTC)
    return CommandRequest(command, key, key, None, now, now, key)


def empty_state(settings: Settings) -> PartitionState:
    """The state of a partition in which nothing happened yet."""
    store = OrderStore.open(settings.data_dir / f"state-{uuid4()}", "a log")
    return PartitionState(store, timedelta(days=7), settings.cached_orders)


def candidate(settings: Settings, client: LogClient, codec: Codec) -> Candidate:
    """Somebody who could be elected, without the rest of a command API."""
    return Candidate(settings, client, codec, "benchmark", "http://benchmark", "a log", settings.data_dir / "stores")


async def until_ready(router: Router) -> None:
    """Return once every partition is served."""
    while not router.ready:
        await asyncio.sleep(0.01)


async def fill(settings: Settings, orders: int) -> int:
    """Append three events for each of `orders` new orders through the writers; the number of events."""
    codec = await asyncio.to_thread(load_codec, settings.registry_url, settings.topic_prefix)
    async with running_router(settings, codec, "http://benchmark") as router:
        await until_ready(router)
        for start in range(0, orders, _AT_ONCE):
            await asyncio.gather(*(_live(router) for _ in range(min(_AT_ONCE, orders - start))))
    return orders * 3


async def _live(router: Router) -> None:
    placed = order()
    total = sum(line.quantity * line.unit_price for line in placed.lines)
    for command in (placed, ConfirmOrder(placed.order_id), RecordPayment(placed.order_id, total, uuid4().hex)):
        outcome = await router.submit(request(command))
        assert isinstance(outcome, Accepted), outcome
