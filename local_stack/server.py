"""What Kafka, the registry and Postgres have in common: a child that is launched, then waited for."""

from abc import ABC, abstractmethod

from local_stack.probes import wait_until
from local_stack.process import Child


class Server(ABC):
    """A server whose data survives stop and kill. `start_s` bounds how long it may take to get ready, in seconds."""

    child: Child
    start_s: float

    @abstractmethod
    def launch(self) -> None:
        """Start the process, and first make what it needs; do not wait until it is ready."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it can be used."""

    def start(self) -> None:
        """Launch it and return once it is ready. Raises ChildFailed."""
        self.launch()
        wait_until(self.is_ready, self.child, self.start_s)

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self.child.stop()

    def kill(self) -> None:
        """kill -9, of its children too."""
        self.child.kill()
