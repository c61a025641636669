"""The three things orderlog runs on, together: Kafka, the schema registry, Postgres."""

from dataclasses import dataclass
from pathlib import Path

from local_stack.downloads import ensure_artifacts
from local_stack.kafka import Kafka
from local_stack.ports import remembered_ports
from local_stack.postgres import Postgres
from local_stack.progress import Progress
from local_stack.registry import Registry
from local_stack.run_state import Part
from local_stack.server import Server

_PORTS = ("kafka", "kafka-controller", "registry", "registry-management", "postgres")


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the parts are reached."""

    kafka_bootstrap: str
    registry_url: str
    postgres_url: str


class Infrastructure:
    """Kafka, registry and Postgres with their data in `data_dir`; ports are kept from start to start where free."""

    def __init__(self, data_dir: Path, cache_dir: Path | None, progress: Progress) -> None:
        self._progress = progress
        artifacts = ensure_artifacts(cache_dir, progress)
        ports, logs = remembered_ports(data_dir / "ports.json", _PORTS), data_dir / "logs"
        self.kafka = Kafka(artifacts, data_dir / "kafka", logs / "kafka.log", ports["kafka"], ports["kafka-controller"])
        self.registry = Registry(
            artifacts, logs / "registry.log", ports["registry"], ports["registry-management"], self.kafka.bootstrap
        )
        self.postgres = Postgres(data_dir / "postgres", logs / "postgres.log", ports["postgres"])

    @property
    def endpoints(self) -> Endpoints:
        """Where the parts are reached once they run."""
        return Endpoints(self.kafka.bootstrap, self.registry.url, self.postgres.url)

    @property
    def parts(self) -> tuple[Server, ...]:
        """All three, in the order in which they are started."""
        return self.postgres, self.kafka, self.registry

    def described(self) -> tuple[Part, ...]:
        """All three as `orderlog status` shows them."""
        ends = self.endpoints
        return (
            Part("postgres", ends.postgres_url),
            Part("kafka", ends.kafka_bootstrap),
            Part("registry", ends.registry_url, self.registry.ready_url),
        )

    def start(self) -> None:
        """Start all three and return once all are ready. Raises ChildFailed, with none left running."""
        try:
            for part in self.parts:
                self._progress.step(f"starting {part.child.name}")
                part.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all three, in the order that lets each finish."""
        for part in reversed(self.parts):
            part.stop()
