"""What a projection worker tells Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest

from projections.generations import Generation

_PREFIX = "orderlog_projection_"
disable_created_metrics()  # type: ignore[no-untyped-call]


class Labelled:
    """A metric with the labels that all of a worker's have."""

    def __init__(self, metric: Gauge | Counter, labels: dict[str, str]) -> None:
        self._metric = metric
        self._labels = labels

    def add(self, amount: float = 1, **labels: str | int) -> None:
        """Count."""
        self._metric.labels(**self._labels, **labels).inc(amount)

    def put(self, value: float, **labels: str | int) -> None:
        """Set a gauge."""
        metric = self._metric.labels(**self._labels, **labels)
        assert isinstance(metric, Gauge)
        metric.set(value)

    def clear(self) -> None:
        """Forget all values."""
        self._metric.clear()


class Metrics:
    """The metrics of one worker, in a registry of their own; those by partition are of the ones it has."""

    def __init__(self, generation: Generation) -> None:
        self._registry = CollectorRegistry()
        self._labels = {"projection": generation.projection, "generation": str(generation.number)}
        self.position = self._gauge("position", "First offset that is not in the view", "partition")
        self.log_end = self._gauge("log_end", "Offset after the log's last record", "partition")
        self.lag_events = self._gauge("lag_events", "Records that are not in the view yet", "partition")
        self.lag_seconds = self._gauge("lag_seconds", "For how long the oldest of those has waited", "partition")
        self.parked_orders = self._gauge(
            "parked_orders", "Orders with parked events; of all partitions, of a view in tables of the worker's"
        )
        self.state = self._gauge("state", "1 for what the worker does now, 0 for all else", "state")
        self.rebuild_records = self._gauge("rebuild_records", "Records in the generation being built", "building")
        self.rebuild_log_end = self._gauge("rebuild_log_end", "Records it is to have", "building")
        self.batches = self._counter("batches", "Batches applied")
        self.applied = self._counter("events_applied", "Records that were new to the view")
        self.deposed = self._counter("events_deposed", "Records of a deposed writer, dropped")
        self.unknown = self._counter("events_unknown", "Records of types that only a newer release knows", "type")
        self.parked = self._counter("events_parked", "Records set aside")
        self.published = self._counter("events_published", "Public events that Kafka has acknowledged", "topic")
        self.retries = self._counter("retries", "Attempts that failed and were made again", "cause")

    def render(self) -> bytes:
        """All of them in Prometheus's text format."""
        return generate_latest(self._registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Labelled:
        names = [*self._labels, *labels]
        return Labelled(Gauge(_PREFIX + name, meaning, names, registry=self._registry), self._labels)

    def _counter(self, name: str, meaning: str, *labels: str) -> Labelled:
        names = [*self._labels, *labels]
        counted = Labelled(Counter(_PREFIX + name, meaning, names, registry=self._registry), self._labels)
        if not labels:
            counted.add(0)  # a rate can be taken of it from the start
        return counted
