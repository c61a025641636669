"""Stuck, slow, idle, waiting, assigning: told apart."""

from projections.progress import Bounds, Observation, Progress, Standing

BOUNDS = Bounds(still_s=60, assignment_s=30, slow_s=10)


def look(at: float, position: int, end: int, age: float = 0.0) -> Observation:
    return Observation(at, {0: position}, {0: end}, {0}, ages={0: age})


def states(*looks: Observation) -> list[str]:
    progress = Progress(BOUNDS)
    return [progress.observe(one).state for one in looks]


def test_at_the_end_for_long_is_idle() -> None:
    assert states(look(0, 5, 5), look(1_000, 5, 5), look(9_000, 5, 5)) == ["idle"] * 3


def test_an_event_after_a_long_silence_is_no_reason_to_worry() -> None:
    assert states(look(0, 5, 5), look(1_000, 5, 5), look(1_001, 5, 6), look(1_002, 6, 6))[2:] == ["following", "idle"]


def test_standing_still_with_events_ahead_is_stuck_after_the_bound() -> None:
    progress = Progress(BOUNDS)
    assert progress.observe(look(0, 5, 9)).state == "following"
    assert progress.observe(look(59, 5, 9)).state == "slow"
    stuck = progress.observe(look(61, 5, 12))
    assert stuck.state == "stuck"
    assert stuck.reason == "for 60 s the view stood still, with events ahead: partition 0 (7 behind)"


def test_moving_however_slowly_is_not_stuck() -> None:
    assert states(*(look(50.0 * n, n, 1_000) for n in range(9)))[1:] == ["slow"] * 8


def test_one_partition_of_many_that_stands_still_is_enough() -> None:
    progress = Progress(BOUNDS)
    for at in (0, 40, 80):
        seen = progress.observe(Observation(at, {0: at, 1: 7}, {0: 100, 1: 9}, {0, 1}))
    assert (seen.state, seen.lag_events) == ("stuck", {0: 20, 1: 2})
    assert "partition 1 (2 behind)" in str(seen.reason)


def test_what_does_not_answer_is_waited_for_however_long_and_counts_anew_afterwards() -> None:
    waiting = [Observation(at, waiting_for="Postgres does not answer") for at in (50, 5_000)]
    assert states(look(0, 5, 9), *waiting, look(5_001, 5, 9), look(5_060, 5, 9), look(5_062, 5, 9)) == [
        "following",
        "waiting",
        "waiting",
        "following",
        "slow",
        "stuck",
    ]


def test_an_assignment_that_does_not_come_is_stuck_after_the_bound() -> None:
    assigning = [Observation(at, assigning=True) for at in (0, 29, 31)]
    assert states(*assigning) == ["assigning", "assigning", "stuck"]
    assert states(assigning[0], look(20, 5, 9), *assigning[1:]) == ["assigning", "following", "assigning", "assigning"]


def test_tables_that_are_being_recovered_take_as_long_as_they_take() -> None:
    recovering = [Observation(20 * n, assigning=True, recovered=n) for n in range(9)]
    assert states(*recovering, Observation(191, assigning=True, recovered=8))[-2:] == ["assigning", "stuck"]


def test_a_recovery_that_hangs_is_named() -> None:
    progress = Progress(BOUNDS)
    hanging = [progress.observe(Observation(at, assigning=True, recovering=True)) for at in (0, 31)]
    assert "no row came of the tables' changelogs" in (hanging[-1].reason or "")


def test_a_worker_without_partitions_is_judged_by_whether_anybody_moves_them() -> None:
    def nothing_assigned(at: float, position: int) -> Observation:
        return Observation(at, {0: position}, {0: 100})

    assert states(nothing_assigned(0, 1), nothing_assigned(50, 2), nothing_assigned(100, 3))[-1] == "slow"
    assert states(nothing_assigned(0, 1), nothing_assigned(50, 1), nothing_assigned(100, 1))[-1] == "stuck"


def test_lag_in_seconds_is_since_the_oldest_waiting_event_was_seen_or_how_old_the_last_one_was() -> None:
    progress = Progress(BOUNDS)

    def lag(seen: Observation) -> float:
        standing: Standing = progress.observe(seen)
        return standing.lag_seconds[0]

    assert lag(look(0, 5, 5, age=300)) == 0
    assert lag(look(10, 5, 6)) == 0
    assert lag(look(14, 5, 8)) == 4
    assert lag(look(15, 6, 8)) == 1  # the first of the two that came at 14
    assert lag(look(15, 6, 8, age=300)) == 300
    assert lag(look(16, 8, 8, age=300)) == 0
