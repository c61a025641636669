"""The order process manager as a real process, beside a real command API: each order is decided about once."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from eventlog.settings import Settings
from schemas.public_events import InventoryRejected, InventoryReserved, Shortage
from tests.kit.requests import order
from tests.kit.subscribers import PublicTopics, Subscriber, placed
from tests.kit.worlds import CommandApi, eventually, log_of, prepare


@pytest.fixture
def api(settings: Settings, topics: PublicTopics, tmp_path: Path) -> Iterator[CommandApi]:
    api = CommandApi(settings, tmp_path / "command-api.log")
    api.start()
    yield api
    api.stop()


@pytest.fixture
def manager(settings: Settings, api: CommandApi, tmp_path: Path) -> Iterator[Subscriber]:
    """Not started."""
    its = settings.model_copy(update={"command_url": api.url})
    manager = Subscriber(its, tmp_path / "order-process.log", "order_process")
    yield manager
    manager.stop()


async def place(api: CommandApi, count: int) -> list[UUID]:
    """Orders that are placed."""
    async with httpx.AsyncClient(base_url=api.url, timeout=30) as client:
        answers = [await client.post("/orders", json=order()) for _ in range(count)]
    return [UUID(answer.json()["order_id"]) for answer in answers]


async def decisions(settings: Settings) -> dict[UUID, list[tuple[str, str]]]:
    """{order: (event, command id) of every confirmation and rejection in the log}."""
    found: dict[UUID, list[tuple[str, str]]] = {}
    for recorded in await log_of(settings, await prepare(settings)):
        kind = type(recorded.event).__name__
        if kind in ("OrderConfirmed", "OrderRejected"):
            told = (kind, recorded.metadata.command_id)
            found.setdefault(UUID(recorded.metadata.subject), []).append(told)
    return found


async def test_orders_are_confirmed_and_rejected_once_though_killed_and_told_twice(
    settings: Settings, topics: PublicTopics, api: CommandApi, manager: Subscriber
) -> None:
    orders = await place(api, 60)
    answers = [
        InventoryReserved(one, 1) if number % 3 else InventoryRejected(one, 1, (Shortage("TEA-1", 2, 0),))
        for number, one in enumerate(orders)
    ]
    manager.start()
    for at in range(0, 60, 20):
        topics.publish(*answers[at : at + 20], repeated=2)
        await eventually(lambda: has(settings, at + 1))  # noqa: B023
        manager.kill()
        manager.start()
    decided = await eventually(lambda: has(settings, 60), manager)
    assert decided == {
        one: [("OrderConfirmed" if number % 3 else "OrderRejected", f"{one}:1")] for number, one in enumerate(orders)
    }


async def test_an_order_that_changed_waits_for_the_answer_for_its_new_lines(
    settings: Settings, topics: PublicTopics, api: CommandApi, manager: Subscriber
) -> None:
    (one,) = await place(api, 1)
    async with httpx.AsyncClient(base_url=api.url) as client:
        sku = order()["lines"][0]["sku"]
        changed = await client.patch(f"/orders/{one}/lines/{sku}", json={"quantity": 7})
        assert changed.json()["version"] == 2
    manager.start()
    topics.publish(InventoryReserved(one, 1), InventoryReserved(one, 2))
    assert await eventually(lambda: has(settings, 1), manager) == {one: [("OrderConfirmed", f"{one}:2")]}


async def test_an_order_that_nobody_answers_for_is_rejected_and_a_later_answer_changes_nothing(
    settings: Settings, topics: PublicTopics, api: CommandApi, manager: Subscriber, tmp_path: Path
) -> None:
    one, other = await place(api, 2)
    impatient = manager.settings.model_copy(update={"order_timeout_s": 1.0})
    hasty = Subscriber(impatient, tmp_path / "hasty.log", "order_process")
    hasty.start()
    try:
        topics.publish(placed(one))
        assert await eventually(lambda: has(settings, 1), hasty) == {one: [("OrderRejected", f"timeout:{one}")]}
        topics.publish(InventoryReserved(one, 1), InventoryReserved(other, 1))
        decided = await eventually(lambda: has(settings, 2), hasty)
        assert decided[one] == [("OrderRejected", f"timeout:{one}")]
    finally:
        hasty.stop()


async def test_commands_wait_while_the_command_api_is_away(
    settings: Settings, topics: PublicTopics, api: CommandApi, manager: Subscriber
) -> None:
    (one,) = await place(api, 1)
    manager.start()
    api.stop()
    topics.publish(InventoryReserved(one, 1), InventoryReserved(uuid4(), 1))
    async with httpx.AsyncClient(base_url=manager.url) as client:

        async def says_so() -> bool:
            answer = await client.get("/readyz")
            return answer.status_code == 503 and "does not answer" in answer.json()["reason"]

        await eventually(says_so, manager)
        api.start()
        assert await eventually(lambda: has(settings, 1), manager) == {one: [("OrderConfirmed", f"{one}:1")]}
        # The order that the command side does not know is a dead letter, and holds nothing up.
        parked = await eventually(lambda: listed(client), manager)
    assert [(letter["state"], "HTTP 404" in letter["reason"]) for letter in parked] == [("dead", True)]


async def has(settings: Settings, least: int) -> dict[UUID, list[tuple[str, str]]]:
    """The decisions, once there are so many."""
    found = await decisions(settings)
    return found if len(found) >= least else {}


async def listed(client: httpx.AsyncClient) -> list[dict[str, str]]:
    """What the process has parked."""
    return (await client.get("/parked")).json()["parked"]  # type: ignore[no-any-return]
