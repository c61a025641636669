"""How fast mails go out, by the clock of whoever asks."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from subscribers.email.pace import Pace


def test_turns_are_at_an_even_distance_and_those_that_nobody_took_are_lost() -> None:
    pace = Pace(per_second=2)
    assert [pace.wait_s(100.0) for _ in range(3)] == [0, 0.5, 1]
    assert pace.wait_s(101.0) == 0.5
    assert [pace.wait_s(1_000.0) for _ in range(2)] == [0, 0.5]


@given(st.lists(st.floats(0, 10), max_size=50), st.floats(0.2, 1_000))
def test_no_two_turns_are_nearer_than_that(pauses: list[float], per_second: float) -> None:
    pace, now, turns = Pace(per_second), 0.0, list[float]()
    for pause in pauses:
        now += pause
        turns.append(now + pace.wait_s(now))
    assert all(b - a >= 1 / per_second - 1e-6 for a, b in pairwise(turns))
    assert turns == sorted(turns)
    assert turns[:1] == pauses[:1]
