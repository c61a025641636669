"""Where things stand in a picture; the templates draw them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from query_side.history import Happened

SPARK_WIDTH, SPARK_HEIGHT = 160, 32
_STEP, _MARGIN = 140, 70


@dataclass(frozen=True, slots=True)
class Spark:
    """A sparkline: the `points` of its polyline, SPARK_WIDTH by SPARK_HEIGHT, and the greatest value, at its top."""

    points: str
    top: float


def spark(series: Sequence[tuple[float, float]], until: float, span_s: float) -> Spark:
    """The (time, value) of the `span_s` seconds up to `until`. Zero is the bottom."""
    shown = [(at, max(value, 0.0)) for at, value in series if until - span_s <= at <= until]
    top = max((value for _, value in shown), default=0.0)
    inner = SPARK_HEIGHT - 2
    places = [
        (SPARK_WIDTH * (1 - (until - at) / span_s), 1 + inner * (1 - value / (top or 1.0))) for at, value in shown
    ]
    return Spark(" ".join(f"{x:.1f},{y:.1f}" for x, y in places), top)


@dataclass(frozen=True, slots=True)
class Mark:
    """An event in the picture; `gap` is how long after the one before it happened, in words."""

    x: int
    version: int
    type: str
    time: datetime
    gap: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """Events from left to right at equal distances; `width` in pixels."""

    width: int
    marks: Sequence[Mark]


def timeline(events: Sequence[Happened]) -> Timeline:
    """The picture of `events`."""
    marks = []
    for index, event in enumerate(events):
        gap = in_words(event.time - events[index - 1].time) if index else ""
        marks.append(Mark(_MARGIN + index * _STEP, event.version, event.type, event.time, gap))
    return Timeline(2 * _MARGIN + max(len(events) - 1, 0) * _STEP, marks)


def in_words(duration: timedelta) -> str:
    """A duration, roughly: `3 min`."""
    seconds = max(duration.total_seconds(), 0.0)
    for unit_s, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit_s:
            return f"{seconds / unit_s:.0f} {name}"
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
