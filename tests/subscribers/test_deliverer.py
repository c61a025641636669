"""How the outbox is worked on when nothing can be done."""

from subscribers.deliverer import pause_s


def test_the_pause_grows_to_its_bound_and_stays_there_however_long_the_outage() -> None:
    assert [pause_s(failures) for failures in (0, 1, 5, 6, 100_000)] == [0.1, 0.2, 3.2, 5, 5]
