"""Which orders of a partition of a table are parked, as a row of the table itself.

It changes in the same write as the rows and the place, so the table alone says what is in it and what is not; the
parked records are in Postgres (projections/parking.py). One row for all, written again as a whole: a row for each
order would have to be deleted, and a worker that comes back after the changelog's tombstones were compacted away
would find it still there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from uuid import UUID

import msgspec

HELD_KEY = b"\x00held"
MOST_HELD = 30_000  # they are one row, and a broker takes 1 MiB


@dataclass(frozen=True, slots=True)
class Holds:
    """The orders of a partition that wait, each with the offset from which on its events are parked.

    `strays` are the offsets of parked records that name no order.
    """

    orders: Mapping[UUID, int] = field(default_factory=dict)
    strays: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.orders) + len(self.strays)

    def hold(self, orders: Mapping[UUID, int], strays: Iterable[int] = ()) -> "Holds":
        """With these too; an order that waits already does so from where it did."""
        return Holds({**orders, **self.orders}, self.strays.union(strays))

    def go_on(self, order_id: UUID, since: int | None) -> "Holds":
        """With the order waiting from the later offset `since` on, or no more."""
        others = {known: offset for known, offset in self.orders.items() if known != order_id}
        return replace(self, orders=others if since is None else {**others, order_id: since})

    def let_go(self, stray: int) -> "Holds":
        """Without the record at `stray`."""
        return replace(self, strays=self.strays - {stray})


NOTHING = Holds()


def holds_row(holds: Holds) -> tuple[bytes, bytes]:
    """The row that says `holds`."""
    orders = [(order_id.bytes, offset) for order_id, offset in holds.orders.items()]
    return HELD_KEY, msgspec.msgpack.encode((orders, sorted(holds.strays)))


def read_holds(value: bytes) -> Holds:
    """What `holds_row` wrote."""
    orders, strays = msgspec.msgpack.decode(value, type=tuple[list[tuple[bytes, int]], list[int]])
    return Holds({UUID(bytes=order_id): offset for order_id, offset in orders}, frozenset(strays))
