"""What a subscriber tells Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest

_PREFIX = "orderlog_subscriber_"
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The metrics of one subscriber's process, in a registry of their own."""

    def __init__(self, subscriber: str) -> None:
        self._registry = CollectorRegistry()
        self._name = subscriber
        self.taken = self._counter("messages_taken", "Messages taken in")
        self.repeated = self._counter("messages_repeated", "Messages that came again and were passed over")
        self.parked = self._counter("messages_parked", "Messages set aside")
        self.published = self._counter("answers_published", "Events published in answer")
        self.batches = self._counter("batches", "Batches taken in")
        self.retries = self._counter("retries", "Attempts that failed and were made again", "cause")
        self.tasks = self._counter("tasks", "Attempts at tasks of the outbox, by how they ended", "outcome")
        self.lag = self._gauge("lag_messages", "Messages that are not taken in yet", "topic", "partition")
        self.due = self._gauge("tasks_due", "Tasks of the outbox that are due and not done, up to the limit")
        self.held = self._gauge("parked_orders", "Orders with parked messages, of all partitions")

    def render(self) -> bytes:
        """All of them in Prometheus's text format."""
        return generate_latest(self._registry)

    def add(self, counter: Counter, amount: float = 1, **labels: str) -> None:
        """Count."""
        counter.labels(subscriber=self._name, **labels).inc(amount)

    def put(self, gauge: Gauge, value: float, **labels: str | int) -> None:
        """Set a gauge."""
        gauge.labels(subscriber=self._name, **labels).set(value)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        counter = Counter(_PREFIX + name, meaning, ["subscriber", *labels], registry=self._registry)
        if not labels:
            counter.labels(subscriber=self._name)  # a rate can be taken of it from the start
        return counter

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(_PREFIX + name, meaning, ["subscriber", *labels], registry=self._registry)
