"""Two command APIs on one log: the second takes over, and the first can no longer write, nor answer wrongly."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from eventlog.settings import Settings
from schemas.codec import Codec
from tests.kit.requests import order
from tests.kit.worlds import CommandApi, log_of, prepare


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
