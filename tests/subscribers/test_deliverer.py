"""How the outbox is worked on when nothing can be done."""

from uuid import uuid4

from subscribers.deliverer import pause_s
from subscribers.outbox import Dead, Done, Later, Settled, Task, Unavailable


def test_the_pause_grows_to_its_bound_and_stays_there_however_long_the_outage() -> None:
    assert [pause_s(failures) for failures in (0, 1, 5, 6, 100_000)] == [0.1, 0.2, 3.2, 5, 5]


def test_a_task_that_failed_too_often_is_counted_as_dead() -> None:
    failed_once = Task("t", "e", uuid4(), {}, attempts=1)
    outcomes = (Done(), Later("no"), Unavailable("away"), Dead("never"))
    assert [Settled(failed_once, one, attempts=3).how for one in outcomes] == ["done", "later", "unavailable", "dead"]
    assert Settled(failed_once, Later("no"), attempts=2).how == "dead"
    assert Settled(failed_once, Unavailable("away"), attempts=1).how == "unavailable"
