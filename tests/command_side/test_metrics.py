"""What came of commands, as Prometheus is told: over REST and in bulk, decided, refused, and not known."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from command_side.bootstrap import running_router
from command_side.domain.commands import ConfirmOrder
from command_side.metrics import CommandMetrics
from command_side.outcomes import Accepted, CommandRequest, NotServing, Unanswered, Unavailable, VersionConflict
from eventlog.fencing import Fenced, OutcomeUnknown
from eventlog.positions import Position
from eventlog.settings import Settings
from tests.kit.worlds import eventually, prepare


def _request() -> CommandRequest:
    now = datetime.now(UTC)
    return CommandRequest(ConfirmOrder(uuid4()), str(uuid4()), "", None, now, now, "correlation")


def _value(metrics: CommandMetrics, name: str, **labels: str) -> float | None:
    metrics.exposition.render()
    return metrics.exposition.registry.get_sample_value(f"orderlog_command_{name}", labels)


@pytest.mark.parametrize(
    ("came", "outcome", "reason"),
    [
        (Accepted(uuid4(), 1, Position(0, 1)), "accepted", ""),
        (VersionConflict(1, 2), "rejected", "version-conflict"),
        (Unavailable("no owner"), "unavailable", "unavailable"),
        (Unanswered("the log did not answer"), "unknown", "outcome-unknown"),
        (asyncio.CancelledError(), "abandoned", ""),
        (KeyError("a bug"), "failed", ""),
        (b"the answer of another instance", "forwarded", ""),
    ],
)
def test_each_end_of_a_command_is_one_of_a_few(came: object, outcome: str, reason: str) -> None:
    metrics = CommandMetrics()
    metrics.ended(_request(), came)
    assert _value(metrics, "outcomes_total", command="ConfirmOrder", outcome=outcome, reason=reason) == 1


def test_that_another_owner_is_looked_for_is_no_end() -> None:
    metrics = CommandMetrics()
    metrics.ended(_request(), NotServing("stepped down"))
    assert b"ConfirmOrder" not in metrics.exposition.render()


def test_a_step_down_has_one_of_a_few_causes() -> None:
    metrics = CommandMetrics()
    for cause in (Fenced("by another one"), OutcomeUnknown("no answer"), TimeoutError()):
        metrics.stepped_down(cause)
    assert _value(metrics, "step_downs_total", cause="fenced") == 1
    assert _value(metrics, "step_downs_total", cause="outcome_unknown") == 2


async def test_a_router_counts_what_it_is_given_and_shows_its_partitions(settings: Settings) -> None:
    """No order is there, so each command is rejected: one alone, one as bulk requests send them, one too many."""
    codec, metrics = await prepare(settings), CommandMetrics()
    narrow = settings.model_copy(update={"max_commands_in_flight": 1})
    async with running_router(narrow, codec, "http://test", metrics) as router:
        await eventually(lambda: router.ready)
        await router.submit(_request())
        under_way = router.enqueue(_request(), None)
        with pytest.raises(Unavailable):
            router.enqueue(_request(), None)
        with pytest.raises(Unavailable):
            await router.submit(_request())
        await under_way
        await eventually(lambda: router.in_flight == 0)
        of = {"command": "ConfirmOrder", "outcome": "rejected", "reason": "order-not-found"}
        assert _value(metrics, "outcomes_total", **of) == 2
        assert _value(metrics, "outcomes_total", **{**of, "outcome": "unavailable", "reason": "unavailable"}) == 2
        assert _value(metrics, "elections_total") == narrow.partitions
        assert _value(metrics, "batch_commands_sum") == 2
        assert _value(metrics, "events_appended_total") == 0
        for partition in map(str, range(narrow.partitions)):
            assert _value(metrics, "partition_has_owner", partition=partition) == 1
            assert _value(metrics, "partition_term", partition=partition) == 1
            assert _value(metrics, "queued_commands", partition=partition) == 0
