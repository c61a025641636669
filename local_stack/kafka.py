"""One Kafka broker in KRaft mode, broker and controller in one process."""

import subprocess
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from local_stack.downloads import Artifacts
from local_stack.java import classpath, java_command
from local_stack.probes import tcp_answers
from local_stack.process import Child, ChildFailed
from local_stack.server import Server

_HEAP_MB = 160
# The session timeout is short so that a broker killed with -9 may register again two seconds later.
_SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
num.partitions=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.cleaner.dedupe.buffer.size=16777216
broker.heartbeat.interval.ms=300
broker.session.timeout.ms=1500
"""


class Kafka(Server):
    """A broker whose data lives in `data_dir` and survives stop and kill."""

    start_s = 60.0

    def __init__(self, artifacts: Artifacts, data_dir: Path, log_file: Path, port: int, controller_port: int) -> None:
        self._artifacts = artifacts
        self._data = data_dir
        self._config = data_dir.with_name("kafka.properties")
        self._ports = (port, controller_port)
        logging = {"org.slf4j.simpleLogger.defaultLogLevel": "warn", "org.slf4j.simpleLogger.showDateTime": "true"}
        run = ["-cp", classpath(artifacts.kafka_jars), "kafka.Kafka", str(self._config.absolute())]
        self.child = Child("kafka", java_command(_HEAP_MB, run, logging), log_file)

    @property
    def bootstrap(self) -> str:
        """host:port of the broker."""
        return f"127.0.0.1:{self._ports[0]}"

    def launch(self) -> None:
        """Start the process; format the storage first if it is new."""
        broker, controller = self._ports
        self._data.mkdir(parents=True, exist_ok=True)
        self._config.write_text(_SETTINGS.format(broker=broker, controller=controller, data=self._data.absolute()))
        if not (self._data / "meta.properties").exists():
            self._format()
        self.child.start()

    def is_ready(self) -> bool:
        """Whether it takes connections."""
        return tcp_answers(self._ports[0])

    def _format(self) -> None:
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        jars = classpath(self._artifacts.kafka_jars)
        tool = ["-cp", jars, "kafka.tools.StorageTool", "format", "--ignore-formatted"]
        arguments = [*tool, f"--cluster-id={cluster_id}", "-c", str(self._config)]  # the id may begin with a dash
        done = subprocess.run(java_command(_HEAP_MB, arguments), capture_output=True, text=True, check=False)
        if done.returncode:
            raise ChildFailed(f"Kafka's storage in {self._data} cannot be formatted: {done.stderr.strip()[-300:]}")
