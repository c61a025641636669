"""More than it can take: what is too much is refused at once, what was taken is answered."""

import asyncio
from collections import Counter

import pytest

from benchmarks.orders import order, request, until_ready
from command_side.bootstrap import running_router
from command_side.outcomes import Accepted, Unavailable
from eventlog.settings import Settings
from tests.kit.worlds import log_of, prepare


@pytest.mark.parametrize("limit", ["max_commands_in_flight", "max_queued_commands"])
async def test_commands_past_the_limit_are_refused_and_none_is_lost(settings: Settings, limit: str) -> None:
    codec = await prepare(settings)
    narrow = settings.model_copy(update={limit: 5})
    async with running_router(narrow, codec, "http://test") as router:
        await until_ready(router)
        outcomes = await asyncio.gather(*(router.submit(request(order())) for _ in range(500)), return_exceptions=True)
        assert isinstance(await router.submit(request(order())), Accepted), "it goes on afterwards"
    told = Counter(type(outcome) for outcome in outcomes)
    assert set(told) == {Accepted, Unavailable}
    events = [one for one in await log_of(settings, codec) if one.metadata.version]
    assert len(events) == told[Accepted] + 1
