"""What can be said of dashboards and alerts without running them."""

import re

import pytest

from tests.monitoring.dashboards import NAMES, dashboard, queries
from tests.monitoring.page import ROOT, written

_ALERTS = ROOT / "monitoring/prometheus/alerts.yml"


@pytest.mark.parametrize("name", NAMES)
def test_what_grafana_would_stumble_over(name: str) -> None:
    made = dashboard(name)
    assert made["uid"] == f"orderlog-{name}"
    identities = [panel["id"] for panel in made["panels"]]
    assert len(set(identities)) == len(identities)
    places = {(p["gridPos"]["x"] + x, p["gridPos"]["y"] + y) for p in made["panels"] for x, y in _cells(p["gridPos"])}
    assert len(places) == sum(p["gridPos"]["w"] * p["gridPos"]["h"] for p in made["panels"]), "panels overlap"
    assert max(x for x, _ in places) < 24
    variables = {variable["name"] for variable in made["templating"]["list"]} | {"__rate_interval", "__all"}
    assert set(re.findall(r"\$\{?(\w+)", str(made))) <= variables


def _cells(place: dict[str, int]) -> list[tuple[int, int]]:
    return [(x, y) for x in range(place["w"]) for y in range(place["h"])]


def test_they_ask_only_for_metrics_that_there_are() -> None:
    """A panel with `or vector(0)` shows a figure even if its metric is misspelt."""
    known = {f"{one.name}{suffix}" for all_of in written().values() for one in all_of for suffix in _suffixes(one.type)}
    asked = [query for name in NAMES for query in queries(name, "1m").values()] + [_ALERTS.read_text()]
    names = {name for text in asked for name in re.findall(r"\b(?:orderlog|process|python)_\w+", text)}
    assert names - known - {"order_process"} == set()


def _suffixes(kind: str) -> tuple[str, ...]:
    return ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
