"""The write side, from what the command APIs say of themselves. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from query_side.dashboard.asking import Reply, Sample
from query_side.dashboard.standing import Heard

_PREFIX = "orderlog_command_"
_INTERNAL = ("_bucket", "_created")


@dataclass(frozen=True, slots=True)
class Owner:
    """Who writes a partition; `term` is that of the last barrier in the view, `figures` are gauges by partition."""

    partition: int
    url: str
    reason: str
    term: int | None
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric's value, summed over processes and partitions; `labels` are the others, in words."""

    name: str
    labels: str
    value: float


@dataclass(frozen=True, slots=True)
class Writing:
    """The write side. `why` says why the owners are not known; `columns` are the names of the owners' figures."""

    why: str
    owners: Sequence[Owner]
    columns: Sequence[str]
    rejected: Sequence[Figure]
    figures: Sequence[Figure]
    instances: Sequence[Heard]


def write_side(owners: Sequence[Reply], heard: Sequence[Heard], terms: Mapping[int, int]) -> Writing:
    """The write side; what a command API does not measure is not there."""
    found = [one for of in heard for one in of.metrics if _is_shown(one)]
    by_partition: dict[int, dict[str, float]] = {}
    for one in found:
        if set(one.labels) == {"partition"} and one.labels["partition"].isdecimal():
            figures = by_partition.setdefault(int(one.labels["partition"]), {})
            name = _title(one.name)
            # A term or an epoch is nothing to be added up, and only one process has a partition.
            figures[name] = max(figures.get(name, 0.0), one.value)
    answered = next((reply for reply in owners if not reply.why), None)
    rows = answered.body.get("partitions", []) if answered else []
    shown = [
        Owner(
            row["partition"],
            row["owner"],
            row["reason"],
            terms.get(row["partition"]),
            by_partition.get(row["partition"], {}),
        )
        for row in rows
    ]
    columns = sorted({name for one in shown for name in one.figures})
    why = "" if answered else owners[0].why if owners else "no address of a command API is set"
    rejected = _summed([one for one in found if _is_rejection(one)], but=("outcome", "command"))
    rest = _summed([one for one in found if "partition" not in one.labels and not _is_rejection(one)])
    return Writing(why, shown, columns, rejected, rest, heard)


def _is_shown(one: Sample) -> bool:
    return one.name.startswith(_PREFIX) and not one.name.endswith(_INTERNAL)


def _is_rejection(one: Sample) -> bool:
    return one.labels.get("outcome") == "rejected"


def _title(name: str) -> str:
    return name.removeprefix(_PREFIX).removesuffix("_total").replace("_", " ")


def _summed(found: Sequence[Sample], but: Sequence[str] = ()) -> list[Figure]:
    """The sums by name and labels, without the labels `but`; of a histogram the mean."""
    sums: dict[tuple[str, str], float] = {}
    for one in found:
        labels = ", ".join(value for label, value in sorted(one.labels.items()) if value and label not in but)
        key = _title(one.name), labels
        sums[key] = sums.get(key, 0.0) + one.value
    figures = []
    for (name, labels), value in sorted(sums.items()):
        whole = name.removesuffix(" sum")
        count = sums.get((f"{whole} count", labels))
        if name.endswith(" count") and (f"{name.removesuffix(' count')} sum", labels) in sums:
            continue
        if whole != name and count is not None:
            name, value = f"{whole}, mean", value / count if count else 0.0
        figures.append(Figure(name, labels, value))
    return figures
