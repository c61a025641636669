"""Two command APIs on one log: the second takes over, and the first can no longer write, nor answer wrongly."""

import asyncio
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from eventlog.reader import log_ends, read_partition
from eventlog.recorded import RecordedEvent, TermFilter, read_record
from eventlog.settings import Settings
from schemas.codec import Codec
from schemas.events import WriterElected
from tests.kit.requests import order
from tests.kit.worlds import CommandApi, eventually, prepare


@pytest.fixture
def codec(settings: Settings) -> Codec:
    return asyncio.run(prepare(settings))


@pytest.fixture
def first(settings: Settings, codec: Codec, tmp_path: Path) -> Iterator[CommandApi]:
    api = CommandApi(settings, tmp_path / "first.log")
    api.start()
    yield api
    api.kill()


@pytest.fixture
def second(settings: Settings, codec: Codec, tmp_path: Path) -> Iterator[CommandApi]:
    api = CommandApi(settings, tmp_path / "second.log")
    yield api
    api.kill()


async def log_of(settings: Settings, codec: Codec) -> list[RecordedEvent]:
    topic, found = settings.topic("order.events"), list[RecordedEvent]()
    for partition, end in (await log_ends(settings.kafka_bootstrap, topic)).items():
        async for records in read_partition(settings.kafka_bootstrap, topic, partition, 0, end):
            found += [read_record(codec, partition, record) for record in records]
    return found


def test_the_second_takes_over_and_the_first_says_unavailable(first: CommandApi, second: CommandApi) -> None:
    order_id = httpx.post(f"{first.url}/orders", json=order()).json()["order_id"]
    second.start()
    refused = httpx.post(f"{first.url}/orders/{order_id}/confirm")
    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    assert httpx.post(f"{second.url}/orders/{order_id}/confirm").json()["version"] == 2
    assert httpx.get(f"{first.url}/readyz").status_code == 503


def test_even_a_rejection_of_the_deposed_is_not_given(first: CommandApi, second: CommandApi) -> None:
    """It would rest on a state that is not the log's any more."""
    order_id = httpx.post(f"{first.url}/orders", json=order()).json()["order_id"]
    second.start()
    httpx.post(f"{second.url}/orders/{order_id}/confirm").raise_for_status()
    pay = {"amount": 500, "reference": "pay-1"}
    # To the first the order is still open, where a payment is refused with 409.
    assert httpx.post(f"{first.url}/orders/{order_id}/payments", json=pay).status_code == 503


async def test_a_writer_that_was_stopped_cannot_append_when_it_goes_on(
    settings: Settings, codec: Codec, first: CommandApi, second: CommandApi
) -> None:
    async with httpx.AsyncClient(timeout=60) as client:
        order_id = (await client.post(f"{first.url}/orders", json=order())).json()["order_id"]
        first.signal(signal.SIGSTOP)
        await asyncio.to_thread(second.start)
        late = asyncio.create_task(client.post(f"{first.url}/orders/{order_id}/confirm"))
        confirmed = await client.post(f"{second.url}/orders/{order_id}/confirm")
        assert confirmed.json()["version"] == 2
        first.signal(signal.SIGCONT)
        assert (await late).status_code == 503
    events = [one for one in await log_of(settings, codec) if one.metadata.subject == order_id]
    assert [type(one.event).__name__ for one in events] == ["OrderPlaced", "OrderConfirmed"]


async def test_nothing_acknowledged_is_lost_or_doubled_under_kills(
    settings: Settings, codec: Codec, first: CommandApi
) -> None:
    """Clients repeat until they are answered, the API is killed again and again, the log is then read back."""
    acknowledged: dict[str, int] = {}
    wanted = 150

    async def customer(client: httpx.AsyncClient) -> None:
        while len(acknowledged) < wanted:
            body, headers = order(order_id=str(uuid4())), {"Idempotency-Key": str(uuid4())}

            async def answered(body: object = body, headers: dict[str, str] = headers) -> int | None:
                try:
                    answer = await client.post("/orders", json=body, headers=headers)
                except httpx.TransportError:
                    return None
                return answer.json()["version"] if answer.status_code == 201 else None

            acknowledged[body["order_id"]] = await eventually(answered)

    async with httpx.AsyncClient(base_url=first.url, timeout=30) as client:
        customers = [asyncio.create_task(customer(client)) for _ in range(8)]
        for enough in (wanted // 3, 2 * wanted // 3):
            await eventually(partial(lambda enough: len(acknowledged) >= enough, enough))
            first.kill()
            await asyncio.to_thread(first.start)
        await asyncio.gather(*customers)
    terms: dict[int, TermFilter] = {}
    counted = [
        one
        for one in await log_of(settings, codec)
        if terms.setdefault(one.position.partition, TermFilter()).admits(one)
        and not isinstance(one.event, WriterElected)
    ]
    placed = [one.metadata.subject for one in counted]
    assert len(placed) == len(set(placed))
    assert set(acknowledged) <= set(placed)
    assert set(acknowledged.values()) == {1}
