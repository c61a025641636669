"""Where things stand in a picture; the templates draw them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from query_side.history import Happened

SPARK_WIDTH, SPARK_HEIGHT = 160, 32
_STEP, _MARGIN = 118, 60


def spark(points: Sequence[tuple[float, float]], until: float, span_s: float) -> str:
    """The `points` attribute of a polyline, SPARK_WIDTH by SPARK_HEIGHT: (time, value) of the `span_s` up to `until`.

    The greatest value touches the top, zero is the bottom.
    """
    shown = [(at, value) for at, value in points if until - span_s <= at <= until]
    top = max((value for _, value in shown), default=0.0) or 1.0
    inner = SPARK_HEIGHT - 2
    places = [
        (SPARK_WIDTH * (1 - (until - at) / span_s), 1 + inner * (1 - max(value, 0.0) / top)) for at, value in shown
    ]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


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
