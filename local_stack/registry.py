"""The Apicurio schema registry, its store in Kafka: log and schemas are kept, and restored, together."""

import os
from pathlib import Path

from local_stack.downloads import Artifacts
from local_stack.java import java_command
from local_stack.probes import http_ready
from local_stack.process import Child
from local_stack.server import Server

_HEAP_MB = 160


class Registry(Server):
    """A registry that keeps its schemas in the Kafka at `kafka_bootstrap`."""

    start_s = 90.0

    def __init__(
        self, artifacts: Artifacts, log_file: Path, port: int, management_port: int, kafka_bootstrap: str
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.ready_url = f"http://127.0.0.1:{management_port}/health/ready"
        self._environment = {
            **os.environ,
            "APICURIO_STORAGE_KIND": "kafkasql",
            "APICURIO_KAFKASQL_BOOTSTRAP_SERVERS": kafka_bootstrap,
            # Apicurio's default polls so slowly that it starts in 14 to 24 seconds.
            "APICURIO_KAFKASQL_CONSUMER_POLL_TIMEOUT": "200",
            "QUARKUS_HTTP_HOST": "127.0.0.1",
            "QUARKUS_HTTP_PORT": str(port),
            "QUARKUS_MANAGEMENT_HOST": "127.0.0.1",
            "QUARKUS_MANAGEMENT_PORT": str(management_port),
            "QUARKUS_LOG_LEVEL": "ERROR",
        }
        command = java_command(_HEAP_MB, ["-jar", str(artifacts.registry_home / "quarkus-run.jar")])
        self.child = Child("registry", command, log_file, environment=self._environment)

    def launch(self) -> None:
        """Start the process."""
        self.child.start()

    def is_ready(self) -> bool:
        """Whether it answers that it is ready."""
        return http_ready(self.ready_url)
