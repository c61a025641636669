"""What an event of an older version means to code that knows the latest one: pure functions, applied when it is read.

A field that a newer version added comes with its default. Where that says less than the old event did, an upcaster
says the rest. Each lifts from one version to the next and is never changed; one of version 1 goes through all of them.
The log keeps what was written.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from schemas.events import OrderShipped

Upcast = Callable[[Any], Any]


def _shipped_in_one_parcel(event: OrderShipped) -> OrderShipped:
    return OrderShipped(event.order_id, event.carrier, event.tracking, (event.tracking,))


# By the event and the version it was written with.
UPCASTERS: Mapping[tuple[str, int], Upcast] = {("OrderShipped", 1): _shipped_in_one_parcel}


@dataclass(frozen=True, slots=True)
class Lifted:
    """A reader of an older version, whose events are lifted to the latest by `steps`."""

    read: Callable[[bytes, int], tuple[Any, int]]
    steps: tuple[Upcast, ...]

    def __call__(self, data: bytes, at: int) -> tuple[Any, int]:
        """See schemas.compiled.Read."""
        event, end = self.read(data, at)
        return reduce(lambda lifted, step: step(lifted), self.steps, event), end


def steps_from(name: str, version: int, latest: int) -> tuple[Upcast, ...]:
    """The upcasters that an event which was written with `version` goes through, in order."""
    return tuple(UPCASTERS[name, one] for one in range(version, latest) if (name, one) in UPCASTERS)
