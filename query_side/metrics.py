"""What a query API tells Prometheus; its reads are counted by route, as in every service (service/http_metrics.py)."""

from query_side.changes import Changes
from query_side.database import Database
from service.metrics import Exposition, Family

_BOUNDS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class QueryMetrics:
    """The metrics of one query API's process."""

    def __init__(self) -> None:
        self.exposition = Exposition()
        make = Family(self.exposition, "orderlog_query_")
        self._waits = make.counter("position_waits", "Waits for Orderlog-Min-Position, by how they ended", "outcome")
        for outcome in ("reached", "timeout"):
            self._waits.child(outcome=outcome)
        self._wait_duration = make.histogram(
            "position_wait_seconds", "How long those waits took, however they ended", _BOUNDS_S
        ).child()
        self.streams = make.gauge("streams", "Clients that follow an order's events now")
        self.connections = make.gauge("database_connections", "Connections to Postgres")
        self.connections_idle = make.gauge("database_connections_idle", "Those that nobody uses now")
        self.reads_waiting = make.gauge("database_reads_waiting", "Reads that wait for a connection")

    def waited(self, *, reached: bool, seconds: float) -> None:
        """Count one wait for a position."""
        self._waits.add(outcome="reached" if reached else "timeout")
        self._wait_duration.observe(seconds)

    def look(self, database: Database, changes: Changes) -> None:
        """Set the gauges."""
        found = database.connections()
        self.streams.put(changes.listeners)
        self.connections.put(found.get("pool_size", 0))
        self.connections_idle.put(found.get("pool_available", 0))
        self.reads_waiting.put(found.get("requests_waiting", 0))
