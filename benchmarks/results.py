"""What a benchmark says: a figure, beside it the peer of the same run, and the machine both ran on."""

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

LATEST = Path(__file__).with_name("latest.json")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value and the limit or peer it is held against, both from one run, in `unit`."""

    name: str
    value: float
    unit: str
    peer_name: str
    peer: float

    @property
    def ratio(self) -> float:
        """The value as a multiple of the peer's."""
        return self.value / self.peer


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of `sorted_values` do not exceed, by nearest rank."""
    return sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))]


def machine() -> dict[str, str]:
    """The machine in words, as far as a figure depends on it."""
    return {
        "cpu": platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def show(figures: Iterable[Figure]) -> None:
    """Print the figures of this run as one table."""
    table = Table(title=", ".join(f"{key} {value}" for key, value in machine().items()))
    for heading in ("figure", "value", "unit", "beside it", "its value", "ratio"):
        table.add_column(heading, justify="left" if heading in ("figure", "unit", "beside it") else "right")
    for f in figures:
        table.add_row(f.name, f"{f.value:,.2f}", f.unit, f.peer_name, f"{f.peer:,.2f}", f"{f.ratio:.2f}")
    Console(width=150).print(table)


def keep(name: str, figures: Sequence[Figure], file: Path = LATEST) -> None:
    """Write the figures of the measurement `name` to `file`; those of others stay, with their date and machine."""
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(merged(known, name, figures, machine(), datetime.now(UTC)), indent=2) + "\n")


def merged(
    known: Mapping[str, Any], name: str, figures: Sequence[Figure], where: Mapping[str, str], when: datetime
) -> dict[str, Any]:
    """`known` measurements with the one called `name` put in, or in place of its older self."""
    rows = [{**asdict(figure), "ratio": round(figure.ratio, 3)} for figure in figures]
    return {**known, name: {"measured": when.isoformat(timespec="minutes"), "machine": dict(where), "figures": rows}}
