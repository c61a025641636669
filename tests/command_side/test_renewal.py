"""An idle partition's writer renews its barrier before the broker forgets its epoch, and nobody notices."""

from benchmarks.orders import order, request, until_ready
from command_side.bootstrap import running_router
from command_side.outcomes import Accepted
from eventlog.settings import Settings
from schemas.codec import Codec
from schemas.events import WriterElected
from tests.kit.worlds import eventually, log_of, prepare


async def barriers(settings: Settings, codec: Codec) -> list[int]:
    """Terms of the first partition's barriers."""
    log = [one for one in await log_of(settings, codec) if one.position.partition == 0]
    return [one.event.term for one in log if isinstance(one.event, WriterElected)]


async def test_barriers_are_renewed_and_commands_are_served_meanwhile(settings: Settings) -> None:
    codec = await prepare(settings)
    restless = settings.model_copy(update={"barrier_every_s": 0.05})
    async with running_router(restless, codec, "http://test") as router:
        await until_ready(router)

        async def renewed() -> bool:
            # Each of these comes at some moment of a renewal; none may be refused for it.
            assert isinstance(await router.submit(request(order())), Accepted)
            return len(await barriers(settings, codec)) >= 4

        await eventually(renewed)
    terms = await barriers(settings, codec)
    assert terms == list(range(1, len(terms) + 1))
