"""The worker processes that build a generation, started again when they end, gone when this process is."""

from eventlog.settings import Settings
from local_stack.ports import free_port
from local_stack.process import Child, ChildFailed
from local_stack.services import environment_of, orderlog
from local_stack.supervision import Supervised
from projections.generations import Generation

_GIVE_UP_RESTARTS = 8
_STUCK_AFTER_S = 3_600.0  # a table that gets its indexes takes nothing for a while


class Processes:
    """See projections/rebuild/building.py: Crew. `jobs` processes, their logs in the data folder."""

    def __init__(self, settings: Settings, jobs: int) -> None:
        self._settings = settings
        self._logs = settings.data_dir.absolute() / "logs"
        self._jobs = jobs
        self._workers: list[Supervised] = []

    def start(self, generation: Generation) -> None:
        """Start them. To be called from a thread that lasts: they end with it."""
        name = generation.projection
        command = orderlog("project", name, "--generation", str(generation.number))
        for job in range(self._jobs):
            log = self._logs / f"rebuild-{name}-{generation.number}-{job}.log"
            child = Child(f"worker {job} of the rebuild", command, log, environment=self._environment())
            self._workers.append(Supervised(child, child.start))
            self._workers[-1].launch()

    def tend(self) -> None:
        """Start again those that have ended. Raises ChildFailed when one does so again and again."""
        for worker in self._workers:
            worker.tend()
            if worker.restarts >= _GIVE_UP_RESTARTS:
                raise ChildFailed(f"{worker.child.name} ends again and again: {worker.child.last_words()}")

    def stop(self) -> None:
        """Stop them, and wait until they are gone."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.child.signal(worker.child.stop_signal)
        for worker in workers:
            worker.child.stop()

    def _environment(self) -> dict[str, str]:
        # Not the service's ports and URL. And a port by its number: 0 is taken for the one that the stack has.
        port = free_port()
        theirs = {"worker_port": port, "sales_worker_port": port, "worker_advertised_url": ""}
        return environment_of(self._settings.model_copy(update={**theirs, "stuck_after_s": _STUCK_AFTER_S}))
