"""Where a worker begins to read."""

import pytest

from projections.starting import PositionRefused, start_offsets


def test_the_views_position_or_the_logs_beginning() -> None:
    assert start_offsets({0: 7}, {0: 0, 1: 0}, {0: 7, 1: 9}) == {0: 7, 1: 0}


def test_partitions_that_are_not_assigned_are_left_alone() -> None:
    assert start_offsets({0: 7, 5: 99}, {0: 0}, {0: 8}) == {0: 7}


def test_a_position_past_the_end_is_refused() -> None:
    with pytest.raises(PositionRefused, match="goes on at offset 8, but the log ends at 7: this is an older copy"):
        start_offsets({0: 8}, {0: 0}, {0: 7})


def test_a_position_before_the_beginning_is_refused() -> None:
    with pytest.raises(PositionRefused, match="goes on at offset 8, but the log begins at 9: events that the view"):
        start_offsets({0: 8}, {0: 9}, {0: 20})
