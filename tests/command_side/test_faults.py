"""Whole orders under load while things are killed; afterwards the clients' record and the log must agree."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random

from eventlog.settings import Settings
from local_stack.infrastructure import Infrastructure
from schemas.codec import Codec
from tests.conftest import settings_for
from tests.kit.clients import Clients
from tests.kit.history import violations
from tests.kit.worlds import CommandApi, eventually, log_of, prepare

More = Callable[[], Awaitable[None]]
_CUSTOMERS = 16
_ENOUGH = 400  # commands answered between two faults


@contextmanager
def running(settings: Settings, folder: Path, count: int) -> Iterator[list[CommandApi]]:
    """`count` command APIs, the first of them started."""
    apis = [CommandApi(settings, folder / f"api-{n}.log") for n in range(count)]
    try:
        apis[0].start()
        yield apis
    finally:
        for api in apis:
            api.kill()


@asynccontextmanager
async def under_load(settings: Settings, codec: Codec, urls: Sequence[str], seed: int) -> AsyncIterator[More]:
    """Clients of `urls` while this is entered; each call of its value returns after another stretch of answers.

    Afterwards what the clients were told must agree with the log.
    """
    clients = Clients(urls, seed)
    customers = asyncio.create_task(clients.run(_CUSTOMERS))

    async def more() -> None:
        wanted = len(clients.acknowledged) + _ENOUGH

        def enough() -> bool:
            if customers.done():
                customers.result()
            return len(clients.acknowledged) >= wanted

        await eventually(enough, timeout_s=120)

    yield more
    clients.end()
    await customers
    assert violations(await log_of(settings, codec), clients.acknowledged) == []


async def test_the_api_killed_again_and_again(settings: Settings, tmp_path: Path) -> None:
    codec = await prepare(settings)
    with running(settings, tmp_path, 1) as (api,):
        async with under_load(settings, codec, [api.url], seed=1) as more:
            for _ in range(3):
                await more()
                api.kill()
                await asyncio.to_thread(api.start)


async def test_writers_taking_over_from_each_other(settings: Settings, tmp_path: Path) -> None:
    """Each start deposes the one before, which is killed only later: clients ask both."""
    codec, random = await prepare(settings), Random(2)
    with running(settings, tmp_path, 3) as apis:
        async with under_load(settings, codec, [api.url for api in apis], seed=2) as more:
            owner = apis[0]
            for _ in range(4):
                await more()
                successor = random.choice([api for api in apis if api is not owner])
                successor.kill()
                await asyncio.to_thread(successor.start)
                owner = successor


async def test_the_broker_killed_under_load(private_infrastructure: Infrastructure, tmp_path: Path) -> None:
    settings = settings_for(private_infrastructure.endpoints, tmp_path / "data", "broker")
    codec = await prepare(settings)
    with running(settings, tmp_path, 1) as (api,):
        async with under_load(settings, codec, [api.url], seed=3) as more:
            for _ in range(2):
                await more()
                private_infrastructure.kafka.kill()
                await asyncio.to_thread(private_infrastructure.kafka.start)
            await more()
