"""Where each projection stands, from its positions, the log's ends and what its workers say. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from query_side.dashboard.asking import Reply, Sample, by_label, total
from query_side.database import Row

STATES = {
    "live": "every event of the log is in the view, or will be in a moment",
    "catching up": "events wait to be applied, and are being applied",
    "assigning": "partitions are being given to workers",
    "retrying": "the worker waits for something that does not answer",
    "stuck": "events wait, and the view does not move",
    "no answer": "no worker answers, so nobody moves the view",
}
_WORST_LAST = tuple(STATES)
_LIVE_WITHIN_S = 2.0
_PREFIX = "orderlog_projection_"


@dataclass(frozen=True, slots=True)
class Heard:
    """What one worker's /readyz and /metrics said."""

    url: str
    ready: Reply
    metrics: Sequence[Sample] = ()


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition of a view; `end` and `lag` are None when the log's end is not known, `lag_s` without a worker."""

    number: int
    position: int
    end: int | None
    lag: int | None
    lag_s: float | None
    rate: float | None
    state: str


@dataclass(frozen=True, slots=True)
class Projection:
    """A projection; `reason` says why its state is a worry, `last_error` what was one before."""

    name: str
    generation: int
    state: str
    reason: str
    last_error: str
    partitions: Sequence[Partition]
    rebuild: Mapping[str, Any] | None
    parked: int | None
    retries: Mapping[str, float]
    workers: Sequence[Heard] = field(default=())

    @property
    def lag(self) -> int | None:
        """Events that are in the log and not in the view."""
        lags = [one.lag for one in self.partitions]
        return None if None in lags else sum(lag or 0 for lag in lags)

    @property
    def lag_s(self) -> float | None:
        """For how long the oldest of them has waited, in seconds."""
        return max((one.lag_s for one in self.partitions if one.lag_s is not None), default=None)

    @property
    def rate(self) -> float | None:
        """Events a second that come into the view."""
        rates = [one.rate for one in self.partitions if one.rate is not None]
        return sum(rates) if rates else None


def projection(
    name: str,
    rows: Sequence[Row],
    ends: Mapping[int, int],
    rates: Mapping[int, float],
    workers: Sequence[Heard],
    last_error: str = "",
) -> Projection:
    """A projection's standing. `rows` are of `queries.positions`, `rates` in events a second by partition."""
    samples = [sample for worker in workers for sample in worker.metrics]
    state, reason = _state(workers)
    # While the log does not answer, its ends as the workers saw them last.
    ends = ends or {number: int(end) for number, end in _most_by_partition(samples, "log_end").items()}
    offsets = {row["partition"]: row["next_offset"] for row in rows if row["partition"] is not None}
    lag_s = _most_by_partition(samples, "lag_seconds")
    partitions = [
        _partition(number, offsets.get(number, 0), ends.get(number), lag_s.get(number), rates.get(number), state)
        for number in sorted(set(ends) | set(offsets))
    ]
    if state == "live":
        state = max((one.state for one in partitions), key=_WORST_LAST.index, default="live")
    parked = max((int(one.value) for one in samples if one.name == f"{_PREFIX}parked_orders"), default=None)
    retries = by_label(samples, f"{_PREFIX}retries_total", "cause")
    first = rows[0]
    rebuild = {**first["progress"], "generation": first["building"]} if first["progress"] else None
    generation = first["generation"]
    return Projection(name, generation, state, reason, last_error, partitions, rebuild, parked, retries, workers)


def _state(workers: Sequence[Heard]) -> tuple[str, str]:
    """The worst of what the workers are in, and why; catching up is seen from the positions."""
    answering = [worker for worker in workers if worker.ready.status]
    if not answering:
        return "no answer", workers[0].ready.why if workers else "no address of a worker is set"
    found = [_state_of(worker.ready) for worker in answering]
    return max(found, key=lambda one: _WORST_LAST.index(one[0]))


def _state_of(ready: Reply) -> tuple[str, str]:
    if not ready.why:
        return "live", ""
    said = ready.body.get("state")
    if said == "stuck":
        return "stuck", ready.why
    return ("assigning" if said == "assigning" or "assigned" in ready.why else "retrying"), ready.why


def _partition(
    number: int, next_offset: int, end: int | None, lag_s: float | None, rate: float | None, state: str
) -> Partition:
    lag = None if end is None else max(end - next_offset, 0)
    if state == "live" and lag and (lag_s or 0.0) > _LIVE_WITHIN_S:
        state = "catching up"
    waits = 0.0 if lag == 0 else lag_s
    return Partition(number, next_offset - 1, end, lag, waits, rate, state)


def _most_by_partition(samples: Sequence[Sample], name: str) -> dict[int, float]:
    """{partition: the greatest value} of a metric, of all workers that have it."""
    found: dict[int, float] = {}
    for one in samples:
        if one.name == _PREFIX + name:
            partition = int(one.labels["partition"])
            found[partition] = max(found.get(partition, 0.0), one.value)
    return found


@dataclass(frozen=True, slots=True)
class Subscriber:
    """One process of a subscriber; `lag` is {topic: messages that are not taken in yet}."""

    name: str
    url: str
    state: str
    reason: str
    partitions: int
    lag: Mapping[str, float]
    taken: float | None
    due: float | None
    parked: float | None


def subscriber(name: str, heard: Heard) -> Subscriber:
    """The standing of a subscriber's process."""
    prefix, found = "orderlog_subscriber_", heard.metrics
    reply = heard.ready
    state = "no answer" if not reply.status else "retrying" if reply.why else "live"
    lag = by_label(found, f"{prefix}lag_messages", "topic")
    assigned = reply.body.get("partitions")
    partitions = assigned if isinstance(assigned, int) else 0
    counts = [total(found, prefix + name) for name in ("messages_taken_total", "tasks_due", "parked_orders")]
    return Subscriber(name, heard.url, state, reply.why, partitions, lag, *counts)
