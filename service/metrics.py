"""What a process tells Prometheus: its own metrics beside those of the process, in a registry that is its alone.

Names and units follow https://prometheus.io/docs/practices/naming/. docs/reference/metrics.md has all of them.
"""

import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Generic, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
disable_created_metrics()  # type: ignore[no-untyped-call]

M = TypeVar("M", Counter, Gauge, Histogram)


class Labelled(Generic[M]):
    """A metric with the labels that all of its family have. What is called often keeps a `child`."""

    def __init__(self, metric: M, common: dict[str, str], labels: Sequence[str]) -> None:
        self._metric: M = metric
        self._common = common
        self._is_single = not common and not labels

    def child(self, **labels: str | int) -> M:
        """The metric with these labels, there from now on, a counter at 0: a rate can be taken of it from the start.

        To find it by its labels costs several times what counting does.
        """
        if self._is_single:
            return self._metric
        found: M = self._metric.labels(**self._common, **labels)
        return found

    def add(self, amount: float = 1, **labels: str | int) -> None:
        """Count."""
        counter = self.child(**labels)
        assert isinstance(counter, Counter)
        counter.inc(amount)

    def put(self, value: float, **labels: str | int) -> None:
        """Set a gauge."""
        gauge = self.child(**labels)
        assert isinstance(gauge, Gauge)
        gauge.set(value)

    def clear(self) -> None:
        """Forget all values."""
        self._metric.clear()


class Exposition:
    """All metrics of one process: its memory, processor time and open files, its version, and what families add."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._looks: list[Callable[[], None]] = []
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        about = {"version": version("orderlog"), "python": platform.python_version()}
        Family(self, "orderlog_", **about).gauge("build_info", "1; the labels say which release runs").put(1)

    def before_scrape(self, look: Callable[[], None]) -> None:
        """Have `look` called before each `render`, to set gauges of what is only known by looking."""
        self._looks.append(look)

    def render(self) -> bytes:
        """All of them in Prometheus's text format, to be sent with CONTENT_TYPE."""
        for look in self._looks:
            look()
        return generate_latest(self.registry)


class Family:
    """Makes metrics whose names begin with `prefix`, all with the labels `common`."""

    def __init__(self, exposition: Exposition, prefix: str, **common: str) -> None:
        self._registry = exposition.registry
        self._prefix = prefix
        self._common = common

    def gauge(self, name: str, meaning: str, *labels: str) -> Labelled[Gauge]:
        """A value that goes up and down."""
        gauge = Gauge(self._prefix + name, meaning, [*self._common, *labels], registry=self._registry)
        return Labelled(gauge, self._common, labels)

    def counter(self, name: str, meaning: str, *labels: str) -> Labelled[Counter]:
        """A count since the process began; `_total` is put behind its name."""
        counter = Counter(self._prefix + name, meaning, [*self._common, *labels], registry=self._registry)
        made = Labelled(counter, self._common, labels)
        if not labels:
            made.child()
        return made

    def histogram(self, name: str, meaning: str, bounds: Sequence[float], *labels: str) -> Labelled[Histogram]:
        """How often a value was at most each of `bounds`."""
        names = [*self._common, *labels]
        histogram = Histogram(self._prefix + name, meaning, names, registry=self._registry, buckets=bounds)
        made = Labelled(histogram, self._common, labels)
        if not labels:
            made.child()
        return made
