"""What `make bench` keeps: each measurement with the day and the machine it was taken on."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.results import Figure, keep, merged, percentile

FIGURE = Figure("orders", 300.0, "1/s", "peer", 200.0)


def test_a_new_run_of_one_measurement_leaves_the_others_as_they_were() -> None:
    known = {name: {"measured": "2020-01-01T00:00+00:00", "machine": {"cpu": "old"}, "figures": []} for name in "abc"}
    now = merged(known, "b", [FIGURE], {"cpu": "new"}, datetime(2030, 5, 1, 12, 30, tzinfo=UTC))
    assert list(now) == ["a", "b", "c"]
    assert (now["a"], now["c"]) == (known["a"], known["c"])
    assert now["b"] == {
        "measured": "2030-05-01T12:30+00:00",
        "machine": {"cpu": "new"},
        "figures": [
            {"name": "orders", "value": 300.0, "unit": "1/s", "peer_name": "peer", "peer": 200.0, "ratio": 1.5}
        ],
    }
    assert known["b"]["machine"] == {"cpu": "old"}, "what was read is not changed"


def test_what_is_kept_is_read_back_by_the_next_measurement(tmp_path: Path) -> None:
    file = tmp_path / "latest.json"
    keep("first", [FIGURE], file)
    keep("second", [], file)
    kept = json.loads(file.read_text())
    assert list(kept) == ["first", "second"]
    assert kept["first"]["figures"][0]["ratio"] == 1.5
    assert kept["second"]["machine"]["cores"]


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 3), (0.99, 4), (1.0, 4)])
def test_percentile_is_the_nearest_rank(share: float, value: float) -> None:
    assert percentile([1, 2, 3, 4], share) == value
