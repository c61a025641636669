"""Start a child again when it ends, later each time that it ends soon."""

import time
from collections.abc import Callable

import structlog

from local_stack.process import Child

log = structlog.get_logger()

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 10.0
_WELL_AFTER_S = 30.0  # one that ran this long begins with the shortest wait again


class Supervised:
    """One child and its restarts. `launch` starts it without waiting until it is ready."""

    def __init__(self, child: Child, launch: Callable[[], None]) -> None:
        self.child = child
        self.restarts = 0
        self._launch = launch
        self._wait_s = _FIRST_WAIT_S
        self._launched_at = time.monotonic()
        self._due: float | None = None

    def launch(self) -> None:
        """Start it."""
        self._due = None
        self._launched_at = time.monotonic()
        self._launch()

    def tend(self) -> None:
        """Start it again if it ended and its wait is over. To be called often."""
        now = time.monotonic()
        if self.child.is_alive():
            return
        if self._due is None:
            if now - self._launched_at > _WELL_AFTER_S:
                self._wait_s = _FIRST_WAIT_S
            self._due, self._wait_s = now + self._wait_s, min(2 * self._wait_s, _LONGEST_WAIT_S)
            log.warning("part_ended", part=self.child.name, last_words=self.child.last_words())
        elif now >= self._due:
            self.restarts += 1
            log.info("part_restarted", part=self.child.name, restarts=self.restarts)
            self.launch()
