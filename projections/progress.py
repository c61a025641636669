"""Whether a worker gets on, judged from outside of it: by the view's positions and the log's ends.

Lag alone shows nothing. A worker with a long way to go is slow, one that waits for Postgres is waiting, one whose
partitions another worker took has nothing to do; only one that could go on and does not is stuck.
"""

from collections import deque
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Literal, get_args

State = Literal["idle", "following", "slow", "waiting", "assigning", "stuck"]
STATES: tuple[State, ...] = get_args(State)
_MOST_ENDS = 1_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """In seconds: how long a position may stand still, an assignment may take, the lag of a worker is not slow."""

    still_s: float
    assignment_s: float
    slow_s: float


@dataclass(frozen=True, slots=True)
class Observation:
    """A look at a worker `at` a time of a monotonic clock, in seconds.

    `positions` are the view's next offsets, whoever moved them; `ends` the log's. `assigning` is from the loss of
    partitions until events flow again; `recovering` tables is part of that, `recovered` how far that has come.
    `waiting_for` is what does not answer. `ages` says how old the first record of the last batch of a partition was
    when it was applied, in seconds.
    """

    at: float
    positions: Mapping[int, int] = field(default_factory=dict)
    ends: Mapping[int, int] = field(default_factory=dict)
    assigned: Set[int] = frozenset()
    assigning: bool = False
    recovering: bool = False
    recovered: int = 0
    waiting_for: str | None = None
    ages: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a worker does, why if that is a reason to worry, and {partition: lag} in records and in seconds."""

    state: State
    reason: str | None = None
    lag_events: Mapping[int, int] = field(default_factory=dict)
    lag_seconds: Mapping[int, float] = field(default_factory=dict)


class Progress:
    """What successive observations of one worker come to."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._partitions: dict[int, _Partition] = {}
        self._assigning_since: float | None = None
        self._recovered = 0

    def observe(self, seen: Observation) -> Standing:
        """The worker's standing at the time of `seen`."""
        if seen.waiting_for or seen.assigning:
            # Where it stood before does not count against it afterwards.
            self._partitions.clear()
        if seen.waiting_for:
            self._assigning_since = None
            return Standing("waiting", seen.waiting_for)
        if seen.assigning:
            return self._assigning(seen)
        self._assigning_since = None
        return self._following(seen)

    def _assigning(self, seen: Observation) -> Standing:
        if self._assigning_since is None or seen.recovered != self._recovered:
            self._assigning_since, self._recovered = seen.at, seen.recovered
        if seen.at - self._assigning_since > self._bounds.assignment_s:
            why = "no partitions were assigned, or no events came of them"
            if seen.recovering:
                why = "no row came of the tables' changelogs, though their recovery is not over"
            return Standing("stuck", f"for {self._bounds.assignment_s:g} s {why}")
        return Standing("assigning", "partitions are being assigned")

    def _following(self, seen: Observation) -> Standing:
        lag_events: dict[int, int] = {}
        lag_seconds: dict[int, float] = {}
        still: list[int] = []
        # One that has nothing to do for long, while others have, is fine; while nobody does it, is not.
        for partition in sorted(seen.assigned or seen.ends):
            position, end = seen.positions.get(partition, 0), seen.ends.get(partition, 0)
            known = self._partitions.setdefault(partition, _Partition(position, seen.at))
            behind_s = known.saw(seen.at, position, end)
            lag_events[partition] = max(end - position, 0)
            lag_seconds[partition] = max(behind_s, seen.ages.get(partition, 0.0)) if end > position else 0.0
            if end > position and seen.at - known.moved_at > self._bounds.still_s:
                still.append(partition)
        return Standing(*self._state(lag_events, lag_seconds, still), lag_events, lag_seconds)

    def _state(
        self, lag_events: Mapping[int, int], lag_seconds: Mapping[int, float], still: list[int]
    ) -> tuple[State, str | None]:
        lag = sum(lag_events.values())
        if still:
            where = ", ".join(f"{partition} ({lag_events[partition]} behind)" for partition in still)
            return "stuck", f"for {self._bounds.still_s:g} s the view stood still, with events ahead: partition {where}"
        if not lag:
            return "idle", None
        longest = max(lag_seconds.values())
        if longest > self._bounds.slow_s:
            return "slow", f"{lag} records behind, the oldest for {longest:.0f} s"
        return "following", None


class _Partition:
    """When a partition's position last moved, and which ends of it were seen when."""

    def __init__(self, position: int, at: float) -> None:
        self.moved_at = at
        self._position = position
        self._ends: deque[tuple[float, int]] = deque(maxlen=_MOST_ENDS)

    def saw(self, at: float, position: int, end: int) -> float:
        """Take note; for how long the record at `position` was seen to wait, in seconds."""
        if position != self._position or position >= end:
            self._position, self.moved_at = position, at
        if not self._ends or self._ends[-1][1] != end:
            self._ends.append((at, end))
        while self._ends and self._ends[0][1] <= position:
            self._ends.popleft()
        return at - self._ends[0][0] if self._ends else 0.0
