"""What a view in tables is to the worker that keeps it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from sqlalchemy import BigInteger, Column, MetaData, SmallInteger, Table, Text

from eventlog.recorded import Fact
from projections.view import View

Get = Callable[[list[bytes]], list[bytes | None]]
"""The values of keys in one partition of the table, None for those it has not."""
Write = tuple[bytes, bytes]
Row = tuple[tuple[str | int, ...], list[int]]
"""What a sum is of, and the sums; rows of the same key are added up over partitions."""


@runtime_checkable
class TableView(Protocol):
    """A view in a Faust table. `version` goes up when its fold or rows change: it must then be made anew.

    `handles` are the event types it folds; it is given no others. `metadata` holds one Postgres table, `routing`:
    which worker serves which partition. Keys beginning with a byte 0 or with `__faust` are not the view's.
    """

    name: str
    version: int
    handles: frozenset[type]
    metadata: MetaData
    routing: Table

    def fold(self, partition: int, get: Get, facts: Sequence[Fact], *, late: bool = False) -> list[Write]:
        """Fold `facts` of one partition, in order, into the rows they touch, in the order they are to be written.

        Each value says the offset of the event that last changed it. Whatever first part of the rows gets written,
        the same facts folded again must lead to the same rows. Raises EventFailed.

        `late` facts were parked: the rows have later events of others and not these, though their offsets say so. All
        of the rows or none are then written, with the offsets that they had.
        """

    def bounds(self, query: Mapping[str, str]) -> tuple[bytes, bytes]:
        """From which key on, and up to which, the rows are that `query` asks for. Raises ValueError."""

    def read(self, rows: Iterable[Write], query: Mapping[str, str]) -> Iterator[Row]:
        """The sums that `query` asks for among `rows`, those of one partition within its bounds."""


AnyView = View | TableView
"""A view, in Postgres or in a table."""


def routing_table(name: str, metadata: MetaData) -> Table:
    """Where the workers of a view say which partition they serve, and at which URL."""
    return Table(
        name,
        metadata,
        Column("partition", SmallInteger, primary_key=True),
        Column("url", Text, nullable=False),
        Column("mandate", BigInteger, nullable=False, comment="the higher one was elected last"),
    )
