"""What was measured in the last hour, in memory. Pure."""

from collections import deque
from collections.abc import Mapping

Series = list[tuple[float, float]]


class Ring:
    """The last `most` samples, each {name: value} at a time in seconds, at least `every_s` apart."""

    def __init__(self, most: int, every_s: float) -> None:
        self._every_s = every_s
        self._samples: deque[tuple[float, Mapping[str, float]]] = deque(maxlen=most)

    def put(self, at: float, values: Mapping[str, float]) -> None:
        """Take note of `values`."""
        if not self._samples or at - self._samples[-1][0] >= self._every_s:
            self._samples.append((at, dict(values)))

    def series(self, name: str) -> Series:
        """(time, value) of each sample that has `name`, oldest first."""
        return [(at, values[name]) for at, values in self._samples if name in values]

    @property
    def since(self) -> float | None:
        """The time of the oldest sample."""
        return self._samples[0][0] if self._samples else None
