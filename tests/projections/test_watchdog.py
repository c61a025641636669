"""The real worker process, standing still: told from waiting, ended, started again."""

import asyncio
from pathlib import Path

import pytest

from eventlog.reader import log_ends
from eventlog.settings import Settings
from local_stack.supervision import Supervised
from tests.kit.worlds import Worker, eventually, own_postgres, prepare
from tests.projections.histories import placed
from tests.projections.log import log_writer
from tests.projections.refold import folded_log, next_offsets, view
from tests.projections.running import (
    append,
    becomes,
    caught_up,
    held_back,
    offsets_of,
    running,
    said_why,
    url_of,
)
from tests.projections.sabotage import (
    worker_that_gets_no_events,
    worker_with_a_blocked_loop,
)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"watch_every_s": 0.5})


async def test_standing_still_though_postgres_answers_ends_the_process(settings: Settings, tmp_path: Path) -> None:
    settings = settings.model_copy(update={"stuck_after_s": 3.0, "slow_after_s": 0.5})
    codec, worker = await prepare(settings), Worker(settings, tmp_path / "worker.log")
    async with log_writer(settings, codec) as writer:
        with running(worker):
            url = await url_of(worker)
            await append(writer, 5)
            await caught_up(settings, worker)
            await becomes(url, worker, "idle")
            async with held_back(settings):
                await append(writer, 5, seed=2)
                await becomes(url, worker, "slow")
                reason = await said_why(worker)
            assert reason.startswith("stuck: for 3 s the view stood still, with events ahead: partition ")
            worker.start()
            await caught_up(settings, worker)
    assert view(settings) == await folded_log(settings, codec)


async def test_an_assignment_that_does_not_come_ends_the_process(settings: Settings, tmp_path: Path) -> None:
    settings = settings.model_copy(update={"assignment_within_s": 2.0})
    await prepare(settings)
    worker = worker_that_gets_no_events(settings, tmp_path / "worker.log")
    with running(worker):
        reason = await said_why(worker)
    assert reason == "stuck: for 2 s no partitions were assigned, or no events came of them"


async def test_a_process_in_which_nothing_runs_any_more_ends_and_says_where_it_was(
    settings: Settings, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"stuck_after_s": 1.0})
    codec = await prepare(settings)
    worker = worker_with_a_blocked_loop(settings, tmp_path / "worker.log")
    with running(worker):
        async with log_writer(settings, codec) as writer:
            await writer.append([placed()])
        assert await asyncio.to_thread(worker.wait, 60) == 1
    assert "Timeout (" in worker.log_file.read_text()
    assert "worker.py" in worker.log_file.read_text()


async def test_postgres_away_during_a_rebalance_ends_processes_that_come_back_by_themselves(
    settings: Settings, tmp_path: Path
) -> None:
    """Longer than a worker waits for its positions; a supervisor starts them until Postgres is back."""
    settings = settings.model_copy(update={"start_wait_s": 2.0})
    with own_postgres(settings, tmp_path) as (postgres, here):
        codec = await prepare(here)
        one, two = (Worker(here, tmp_path / f"{name}.log") for name in ("one", "two"))
        supervised = Supervised(one, one.start)
        async with log_writer(here, codec) as writer:
            with running(one, two):
                await append(writer, 20)
                await eventually(lambda: offsets_of(two), two)
                await caught_up(here, one)
                postgres.kill()
                await append(writer, 20, seed=2)
                two.kill()  # its partitions go to the other one, which cannot learn where to begin
                await eventually(lambda: _tended(supervised) and supervised.restarts)
                stopped = [line for line in one.log_file.read_text().splitlines() if "projection_stopped" in line]
                assert "Postgres did not answer for 2 s" in stopped[0]
                postgres.start()
                await eventually(lambda: _tended(supervised) and _reached(here))
        assert view(here) == await folded_log(here, codec)


def _tended(supervised: Supervised) -> bool:
    supervised.tend()
    return True


async def _reached(settings: Settings) -> bool:
    ends = await log_ends(settings.kafka_bootstrap, settings.topic("order.events"))
    return next_offsets(settings) == {partition: end for partition, end in ends.items() if end}
