"""How far the replay of a partition is, for its log and its readiness."""

import time

import structlog

log = structlog.get_logger()

_TOLD_EVERY_S = 2.0


class Replay:
    """One replay from the first offset that `told` is called with."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._began: tuple[float, int] | None = None
        self._told_at = time.monotonic()

    def told(self, done: int, end: int) -> str:
        """`done` of `end` as a sentence with the rate and the time left, which goes into the log now and then."""
        now = time.monotonic()
        self._began = self._began or (now, done)
        began, first = self._began
        rate = (done - first) / max(now - began, 0.001)
        left = f"{(end - done) / rate:.0f} s left" if rate else "time left not known yet"
        if now - self._told_at >= _TOLD_EVERY_S:
            self._told_at = now
            log.info("replaying", partition=self._partition, done=done, end=end, events_per_second=round(rate))
        return f"replaying the log, {done:,} of {end:,}, {rate:,.0f} events/s, {left}"
