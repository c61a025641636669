"""The alert rules, by Prometheus' own unit tests; and that none is without one, and none without advice."""

import shutil
import subprocess
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.monitoring.page import ROOT

_FOLDER = ROOT / "monitoring/prometheus"


def _alerts() -> set[str]:
    groups: list[Any] = yaml.safe_load((_FOLDER / "alerts.yml").read_text())["groups"]
    return {rule["alert"] for group in groups for rule in group["rules"]}


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed: apt-get install prometheus")
@pytest.mark.parametrize(
    "check", ["check config prometheus.yml", "check rules alerts.yml", "test rules alerts_test.yml"]
)
def test_promtool_finds_nothing_wrong(check: str) -> None:
    done = subprocess.run(["promtool", *check.split()], cwd=_FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_test_that_sees_it_fire() -> None:
    tests: list[Any] = yaml.safe_load((_FOLDER / "alerts_test.yml").read_text())["tests"]
    fired = {one["alertname"] for test in tests for one in test["alert_rule_test"] if one["exp_alerts"]}
    assert fired == _alerts()


def test_the_guide_says_what_to_do_about_each() -> None:
    guide = (ROOT / "docs/how-to/monitor.md").read_text()
    assert {name for name in _alerts() if f"`{name}`" not in guide} == set()
