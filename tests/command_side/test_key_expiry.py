"""Keys are kept for as long as the settings say, by the writer that gave the answer and by one that replays."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from benchmarks.orders import order, request, until_ready
from command_side.bootstrap import running_router
from command_side.domain.rejections import Rejection
from command_side.outcomes import Accepted
from eventlog.settings import Settings
from tests.kit.worlds import prepare


async def test_an_old_key_is_forgotten_by_both_and_a_young_one_by_none(settings: Settings) -> None:
    codec = await prepare(settings)
    day = settings.model_copy(update={"idempotency_keep_s": 86_400.0})
    # What happened long ago and came in just now has a young key.
    young = replace(request(order()), time=datetime.now(UTC) - timedelta(days=400))
    old = replace(request(order()), recorded_at=datetime.now(UTC) - timedelta(days=2))
    for _ in ("the first writer", "one that replays"):
        async with running_router(day, codec, "http://test") as router:
            await until_ready(router)
            first = [await router.submit(submission) for submission in (young, old)]
            again = [await router.submit(submission) for submission in (young, old)]
        assert isinstance(first[0], Accepted)
        assert again[0] == first[0]
        assert isinstance(again[1], Rejection)
        assert again[1].type == "order-exists"
