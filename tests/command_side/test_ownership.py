"""Several command APIs on one log: they share the partitions, take over from each other, and never answer wrongly."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from eventlog.settings import Settings
from schemas.codec import Codec
from tests.kit.bulk import HEADERS, body, place, results
from tests.kit.requests import order
from tests.kit.worlds import CommandApi, eventually, log_of, prepare


@pytest.fixture
def codec(settings: Settings) -> Codec:
    return asyncio.run(prepare(settings))


@pytest.fixture
def apis(settings: Settings, codec: Codec, tmp_path: Path) -> Iterator[list[CommandApi]]:
    """Three, of which none runs yet."""
    found = [CommandApi(settings, tmp_path / f"api-{number}.log") for number in range(3)]
    yield found
    for api in found:
        api.kill()


def owners(api: CommandApi) -> list[str]:
    """The URL of each partition's owner, as `api` knows it."""
    told = httpx.get(f"{api.url}/owners", timeout=30).json()
    return [one["owner"] for one in told["partitions"]]


def start_all(*apis: CommandApi) -> None:
    """Start them, and return once each owns a partition and all know it."""
    for api in apis:
        api.start()
    urls = {api.url for api in apis}
    asyncio.run(eventually(lambda: all(set(owners(api)) == urls for api in apis)))


def placed(api: CommandApi) -> str:
    answer = httpx.post(f"{api.url}/orders", json=order(), timeout=30)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["order_id"])


def test_any_instance_takes_any_command(apis: list[CommandApi]) -> None:
    start_all(*apis)
    for number in range(12):
        path = f"/orders/{placed(apis[number % 3])}"
        confirmed = httpx.post(f"{apis[(number + 1) % 3].url}{path}/confirm", headers={"If-Match": '"1"'})
        assert (confirmed.status_code, confirmed.json()["version"]) == (200, 2)
        assert confirmed.headers["etag"] == '"2"'
        assert confirmed.headers["orderlog-position"] == confirmed.json()["position"]
        refused = httpx.post(f"{apis[(number + 2) % 3].url}{path}/confirm")
        assert (refused.status_code, refused.json()["order_status"]) == (409, "confirmed")
        assert refused.headers["content-type"] == "application/problem+json"


def test_a_repeat_of_a_key_gets_the_same_answer_from_every_instance(apis: list[CommandApi]) -> None:
    start_all(*apis)
    for number in range(6):
        headers = {"Idempotency-Key": f"key-{number}"}
        # Without an order_id each instance makes one up: from the key, so they agree.
        answers = [httpx.post(f"{api.url}/orders", json=order(), headers=headers) for api in apis]
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.text for answer in answers}) == 1


def test_what_a_killed_instance_owned_is_inherited(apis: list[CommandApi]) -> None:
    first, second, third = apis
    start_all(*apis)
    orders = [placed(first) for _ in range(12)]
    second.kill()
    for number, order_id in enumerate(orders):
        url = (first, third)[number % 2].url

        def confirmed(url: str = url, order_id: str = order_id) -> bool:
            # 503 while it is inherited; under its key the command may be sent again.
            headers = {"Idempotency-Key": f"confirm-{order_id}"}
            answer = httpx.post(f"{url}/orders/{order_id}/confirm", headers=headers, timeout=30)
            assert answer.status_code in (200, 503), answer.text
            return answer.status_code == 200

        asyncio.run(eventually(confirmed))
    assert second.url not in owners(first)


async def test_told_to_stop_an_instance_hands_over_and_nobody_notices(apis: list[CommandApi]) -> None:
    """Clients of the one that stays get answers throughout, not even a 503."""
    staying, leaving = apis[:2]
    await asyncio.to_thread(start_all, staying, leaving)
    answers: list[httpx.Response] = []
    async with httpx.AsyncClient(base_url=staying.url, timeout=30) as client:

        async def customer() -> None:
            while leaving.is_alive():
                answers.append(await client.post("/orders", json=order()))

        customers = [asyncio.create_task(customer()) for _ in range(8)]
        await eventually(lambda: len(answers) > 50)
        leaving.signal(signal.SIGTERM)
        await asyncio.gather(*customers)
    assert {answer.status_code for answer in answers} == {201}
    assert leaving.wait(0) == 0
    assert set(owners(staying)) == {staying.url}


async def test_a_stopped_writer_cannot_append_when_it_goes_on(
    settings: Settings, codec: Codec, apis: list[CommandApi]
) -> None:
    """SIGSTOP, as a long pause does: others are elected, and what was in flight then is not in the log behind them."""
    zombie, other = apis[:2]
    await asyncio.to_thread(zombie.start)
    orders = [placed(zombie) for _ in range(30)]
    zombie.signal(signal.SIGSTOP)
    other.start_only()
    async with httpx.AsyncClient(timeout=60) as client:
        late = [asyncio.create_task(client.post(f"{zombie.url}/orders/{order_id}/confirm")) for order_id in orders]
        await eventually(lambda: other.is_ready() and set(owners(other)) == {other.url}, other)
        for order_id in orders:
            answer = await client.post(f"{other.url}/orders/{order_id}/cancel", json={"reason": "late"})
            assert answer.status_code == 200, answer.text
        zombie.signal(signal.SIGCONT)
        told = [await answer for answer in late]
    # It was refused by the log, so it asked the new owner, or gave up: the orders are cancelled.
    assert {answer.status_code for answer in told} <= {409, 503}
    events = [one for one in await log_of(settings, codec) if one.metadata.version]
    assert {type(one.event).__name__ for one in events} == {"OrderPlaced", "OrderCancelled"}
    await eventually(lambda: set(owners(zombie)) == set(owners(other)))


def test_an_instance_that_was_sent_a_command_never_sends_it_on(apis: list[CommandApi]) -> None:
    first, second = apis[:2]
    start_all(first, second)
    sent_on: dict[str, Any] = {"json": order(), "headers": {"Orderlog-Forwarded": "5"}}
    answers = [httpx.post(f"{first.url}/orders", **sent_on) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {201, 503}
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.json()["type"] == "urn:orderlog:problem:not-serving"
    assert refused.headers["retry-after"]


def test_lines_of_a_bulk_request_reach_every_owner_in_order(apis: list[CommandApi]) -> None:
    first, second = apis[:2]
    start_all(first, second)
    orders = [str(uuid4()) for _ in range(200)]
    shipment = {"carrier": "DHL", "tracking": "JD01"}
    lines = [place(f"place-{one}", order_id=one) for one in orders]
    lines += [_line("confirm_order", one, if_match=1) for one in orders]
    lines += [_line("ship_order", one, body=shipment) for one in orders]
    told = _sent(first, lines)
    assert [one["line"] for one in told] == list(range(1, 601))
    assert [one["status"] for one in told] == [201] * 200 + [200] * 200 + [409] * 200
    assert {one["order_status"] for one in (one["problem"] for one in told[400:])} == {"confirmed"}
    assert [one["order_id"] for one in told[:200]] == orders
    assert _sent(second, lines[:400]) == told[:400], "the same keys, at another instance"


def _line(command: str, order_id: str, **rest: Any) -> dict[str, Any]:
    return {"command": command, "idempotency_key": f"{command}-{order_id}", "order_id": order_id, **rest}


def _sent(api: CommandApi, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    answer = httpx.post(f"{api.url}/commands", content=body(lines), headers=HEADERS, timeout=60)
    assert answer.status_code == 200, answer.text
    return results(answer.content)
