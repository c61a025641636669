"""The page of metrics as it is written, and a process' metrics as they are scraped."""

import re
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/metrics.md"
_ROW = re.compile(r"\| `(?P<name>\w+)` \| (?P<type>\w+) \| (?P<labels>[^|]+) \| (?P<of>[\w-]+) \| [^|]+ \|")


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: its full name, its type, the names of its labels; None where no sample shows them."""

    name: str
    type: str
    labels: frozenset[str] | None


def written() -> dict[str, list[Metric]]:
    """{which processes: the metrics that the page says they have}."""
    found: dict[str, list[Metric]] = {}
    for line in PAGE.read_text().splitlines():
        if line.startswith("| `"):
            row = _ROW.fullmatch(line)
            assert row, f"not a row of this page: {line}"
            labels = frozenset(re.findall(r"\w+", row["labels"]))
            found.setdefault(row["of"], []).append(Metric(row["name"], row["type"], labels))
    return found


def scraped(text: str) -> list[Metric]:
    """The metrics of a process that answered `text`."""
    found = []
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {frozenset(sample.labels) - {"le"} for sample in family.samples}
        assert len(labels) <= 1, f"{name} has samples with different labels: {labels}"
        found.append(Metric(name, family.type, next(iter(labels), None)))
    return found
