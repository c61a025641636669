"""The real worker of the public events on real parts: what a subscriber finds in the topics, whatever happened."""

from pathlib import Path

import pytest

from eventlog.settings import Settings
from tests.kit.worlds import Worker, log_of, prepare
from tests.projections.log import log_writer
from tests.projections.public.expected import expected
from tests.projections.public.topics import all_of, by_order, read_topics
from tests.projections.running import append, caught_up, running


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> Worker:
    return Worker(settings, tmp_path / "worker.log", "public")


async def test_every_kind_is_told_as_it_was_each_orders_in_sequence(settings: Settings, worker: Worker) -> None:
    codec = await prepare(settings, public=True)
    with running(worker):
        async with log_writer(settings, codec) as writer:
            await append(writer, 300)
        await caught_up(settings, worker)
        found = await read_topics(settings)
        print({t: len(f) for t, f in found.items()})
        assert by_order(all_of(found)) == by_order(expected(await log_of(settings, codec)))
        worker.stop()
        assert worker.wait(0) == 0
