"""What a projection worker tells Prometheus."""

from projections.generations import Generation
from service.metrics import Exposition, Family

_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """The metrics of one worker; those by partition are of the ones it has."""

    def __init__(self, generation: Generation) -> None:
        self.exposition = Exposition()
        labels = {"projection": generation.projection, "generation": str(generation.number)}
        make = Family(self.exposition, "orderlog_projection_", **labels)
        self.position = make.gauge("position", "First offset that is not in the view", "partition")
        self.log_end = make.gauge("log_end", "Offset after the log's last record", "partition")
        self.lag_events = make.gauge("lag_events", "Records that are not in the view yet", "partition")
        self.lag_seconds = make.gauge("lag_seconds", "For how long the oldest of those has waited", "partition")
        self.parked_orders = make.gauge(
            "parked_orders", "Orders with parked events; of all partitions, of a view in tables of the worker's"
        )
        self.state = make.gauge("state", "1 for what the worker does now, 0 for all else", "state")
        self.rebuild_records = make.gauge("rebuild_records", "Records in the generation being built", "building")
        self.rebuild_log_end = make.gauge("rebuild_log_end", "Records it is to have", "building")
        self.batches = make.counter("batches", "Batches applied")
        self.applied = make.counter("events_applied", "Records that were new to the view")
        self.deposed = make.counter("events_deposed", "Records of a deposed writer, dropped")
        self.unknown = make.counter("events_unknown", "Records of types that only a newer release knows", "type")
        self.parked = make.counter("events_parked", "Records set aside")
        self.published = make.counter("events_published", "Public events that Kafka has acknowledged", "topic")
        self.retries = make.counter("retries", "Attempts that failed and were made again", "cause")
        self.visible = make.histogram(
            "visible_seconds", "Age of a batch's oldest record when it was in the view", _BOUNDS_S
        ).child()
