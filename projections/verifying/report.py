"""What a verification comes to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from eventlog.identity import LogIdentity
from eventlog.settings import Settings
from projections.verifying.log_events import Decoder

Advance = Callable[[int], None]
"""Told how many more records of the log were folded."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first thing that differs: what it is of, in which table, which field, and what both sides say.

    Orders come in the order of their first events in the log; then those that the log does not have, then sums.
    """

    of: str
    table: str
    field: str
    expected: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.of}, {self.table}.{self.field}: expected {self.expected!r}, found {self.found!r}"


@dataclass(frozen=True, slots=True)
class Report:
    """One partition: up to which offset it was folded, how many orders and events that were, and both digests.

    `parked` orders are compared as they were before their first parked event.
    """

    view: str
    partition: int
    next_offset: int
    orders: int
    expected: str
    found: str
    parked: int = 0
    difference: Difference | None = None

    @property
    def agrees(self) -> bool:
        """Whether the view is what the log comes to."""
        return self.expected == self.found


@dataclass(frozen=True, slots=True)
class Source:
    """What every verification reads: the log's place, its identity, and how to decode it."""

    settings: Settings
    topic: str
    identity: LogIdentity
    decoder: Decoder


class Verification(Protocol):
    """One view's rows at the positions they were at when it was entered."""

    positions: dict[int, int]

    async def partition(self, partition: int, advance: Advance) -> Report:
        """Fold the partition up to its position and compare."""


def first_difference(
    of: str, columns: dict[str, tuple[str, ...]], keys: dict[str, int], expected: list[Any], found: list[Any]
) -> Difference:
    """Where two lists of rows part, table by table as `columns` has them; `keys` says how many columns are the key."""
    wanted, given = _by_key(keys, expected), _by_key(keys, found)
    ordered = sorted(wanted.keys() | given.keys(), key=lambda key: (list(columns).index(key[0]), str(key)))
    for table, *key in ordered:
        one, other = wanted.get((table, *key)), given.get((table, *key))
        which = table if len(key) < 2 else f"{table}[{', '.join(map(str, key[1:]))}]"
        if one is None or other is None:
            rows = [dict(zip(columns[table], row, strict=True)) if row else None for row in (one, other)]
            return Difference(of, which, "(whole row)", *rows)
        for name, a, b in zip(columns[table], one, other, strict=True):
            if a != b:
                return Difference(of, which, name, a, b)
    raise AssertionError("rows with different digests are equal")


def _by_key(keys: dict[str, int], rows: list[Any]) -> dict[tuple[Any, ...], Any]:
    return {(table, *values[: keys[table]]): values for table, values in rows}
