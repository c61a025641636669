"""The queries of the Grafana dashboards."""

import json
import re
from typing import Any

from tests.monitoring.page import ROOT

FOLDER = ROOT / "monitoring/grafana/dashboards"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def dashboard(name: str) -> Any:
    """The dashboard as Grafana reads it."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def queries(name: str, interval: str) -> dict[tuple[str, str], str]:
    """{(panel, reference): query} of a dashboard with all of its variables at All, and rates taken over `interval`."""
    found = {}
    for panel in dashboard(name)["panels"]:
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", interval)
            found[panel["title"], target["refId"]] = re.sub(r'=~"\$\w+"', '=~".*"', query)
    return found
