"""How far a rebuild has come, from the positions of its generation and the ends of the log. Pure."""

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

Phase = Literal["events", "indexes", "swap", "hand-over", "done"]
_WINDOW_S = 10.0


@dataclass(frozen=True, slots=True)
class Standing:
    """A rebuild as of now: `done` of `total` records, at `rate` a second; `left_s` until all are done, if it is known.

    `partitions` are {partition: (done, total)}. `waits` says what it is held up by. What came into the log meanwhile
    is in `total`: it is done when the generation is level with the log.
    """

    projection: str
    generation: int
    phase: Phase
    done: int = 0
    total: int = 0
    rate: float = 0.0
    left_s: float | None = None
    waits: str | None = None
    partitions: Mapping[int, tuple[int, int]] | None = None

    @property
    def percent(self) -> float:
        """Of the records, in percent; rounded down, so that 100 means all of them."""
        return self.done * 1000 // self.total / 10 if self.total else 100.0

    @property
    def left(self) -> int:
        """Records that are still to be done."""
        return self.total - self.done

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        shown = asdict(self)
        shown["partitions"] = {str(partition): list(at) for partition, at in (self.partitions or {}).items()}
        return {**shown, "rate": round(self.rate, 1), "percent": self.percent}

    @classmethod
    def from_dict(cls, shown: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`."""
        values = {name: value for name, value in shown.items() if name != "percent"}
        values["partitions"] = {int(partition): (at[0], at[1]) for partition, at in shown["partitions"].items()}
        return cls(**values)


class Pace:
    """The rate over the last ten seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def rate(self, at: float, done: int) -> float:
        """Records a second, `done` of them at the time `at` of a monotonic clock, in seconds."""
        self._seen.append((at, done))
        while at - self._seen[0][0] > _WINDOW_S:
            self._seen.popleft()
        since, before = self._seen[0]
        return (done - before) / (at - since) if at > since else 0.0


def standing(
    projection: str, generation: int, phase: Phase, positions: Mapping[int, int], ends: Mapping[int, int], rate: float
) -> Standing:
    """The standing of a generation whose next offsets are `positions`, in a log that ends at `ends`."""
    # A log is kept from its first record on, so an offset is a number of records.
    partitions = {p: (min(positions.get(p, 0), end), end) for p, end in sorted(ends.items())}
    done, total = (sum(at[index] for at in partitions.values()) for index in (0, 1))
    left_s = (total - done) / rate if rate > 0 else None
    return Standing(projection, generation, phase, done, total, rate, left_s, None, partitions)
