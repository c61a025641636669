"""Whole orders under load while things are killed; afterwards the clients' record and the log must agree."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from random import Random

from eventlog.settings import Settings
from schemas.codec import Codec
from tests.kit.clients import Clients
from tests.kit.history import violations
from tests.kit.worlds import CommandApi, eventually, log_of, own_kafka, prepare

More = Callable[[], Awaitable[None]]
_CUSTOMERS = 16
_ENOUGH = 400  # commands answered between two faults
_STORM_S = 60.0


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


async def test_the_broker_killed_under_load(settings: Settings, tmp_path: Path) -> None:
    with own_kafka(settings, tmp_path) as (kafka, here):
        codec = await prepare(here)
        with running(here, tmp_path, 1) as (api,):
            async with under_load(here, codec, [api.url], seed=3) as more:
                for _ in range(2):
                    await more()
                    kafka.kill()
                    await asyncio.to_thread(kafka.start)
                await more()


async def test_a_storm_of_rebalances(settings: Settings, tmp_path: Path) -> None:
    """For a minute instances are killed, stopped for a while, told to end and started, at random, under load."""
    codec, random = await prepare(settings), Random(2)
    with running(settings, tmp_path, 4) as apis:
        async with under_load(settings, codec, [api.url for api in apis], seed=2) as more:
            end, unwell = time.monotonic() + _STORM_S, dict[str, str]()
            while time.monotonic() < end:
                await more()
                await asyncio.to_thread(_upset, random, apis, unwell)
            for api in apis:
                api.signal(signal.SIGCONT)


async def test_the_broker_stopped_for_longer_than_a_batch_may_take(settings: Settings, tmp_path: Path) -> None:
    """What was under way then may be in the log or not: nobody is told either, and the new barrier settles it."""
    settings = settings.model_copy(update={"produce_deadline_s": 0.5})
    with own_kafka(settings, tmp_path) as (kafka, here):
        codec = await prepare(here)
        with running(here, tmp_path, 1) as (api,):
            async with under_load(here, codec, [api.url], seed=4) as more:
                for _ in range(2):
                    await more()
                    before = _times_stepped_down(api)
                    kafka.child.signal(signal.SIGSTOP)
                    await eventually(partial(lambda before: _times_stepped_down(api) > before, before))
                    kafka.child.signal(signal.SIGCONT)
    assert "TimeoutError" in api.log_file.read_text()


def _times_stepped_down(api: CommandApi) -> int:
    return api.log_file.read_text().count("stepped_down")


def _upset(random: Random, apis: list[CommandApi], unwell: dict[str, str]) -> None:
    """One thing that happens to one of them; another that serves is always left. `unwell` are stopped or ending."""
    for gone in [api.name for api in apis if not api.is_alive()]:
        unwell.pop(gone, None)
    api = random.choice(apis)
    if not api.is_alive():
        api.start_only()
    elif unwell.get(api.name) == "stopped":
        api.signal(signal.SIGCONT)
        del unwell[api.name]
    elif api.name not in unwell and _others_serve(api, apis, unwell):
        match random.randrange(3):
            case 0:
                api.kill()
            case 1:
                api.signal(signal.SIGTERM)
                unwell[api.name] = "ending"
            case _:
                api.signal(signal.SIGSTOP)
                unwell[api.name] = "stopped"


def _others_serve(api: CommandApi, apis: list[CommandApi], unwell: Container[str]) -> bool:
    return any(other.is_ready() for other in apis if other is not api and other.name not in unwell)
