"""A Faust table whose rows are written in whole batches by a fenced writer.

Faust assigns its partitions, keeps a RocksDB for each and recovers it from the changelog. What is written goes
to the changelog first and to RocksDB once it is there, with the changelog's offset in the same write: so
RocksDB is never ahead of the changelog, and what it holds is always what some first part of the changelog says.

It uses methods of faust-streaming 0.15.3 that are not public; the version is pinned, and
tests/projections/test_sales_worker.py runs it against a real broker.
"""

import struct
from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Any, Protocol

import faust
from faust.types import TP
from rocksdict import WriteBatch

from projections.batches import Place
from projections.failures import TableUnreadable
from projections.inheritance import Inheritance
from projections.parking_holds import HELD_KEY, NOTHING, Holds, read_holds
from projections.table_view import Write

PLACE_KEY = b"\x00place"
_PLACE = struct.Struct(">qqq")
# Faust's defaults are for one big table: 2 GiB of block cache for each partition.
_ROCKSDB = {
    "driver": "rocksdict",
    "block_cache_size": 4 * 2**20,
    "write_buffer_size": 8 * 2**20,
    "max_write_buffer_number": 2,
    "target_file_size_base": 32 * 2**20,
    "bloom_filter_size": 10,
    "max_open_files": 256,
}


class Keeper(Protocol):
    """Who writes the table; told of every assignment of its partitions."""

    def let_go(self) -> None:
        """From now on write nothing: the assignment changes."""

    async def take_over(self, partitions: set[int]) -> None:
        """Be the writer of these. What must not be written any more is shut out when this returns."""


class FencedTable(faust.Table):  # type: ignore[misc]  # Faust has no types
    """The table, in an app whose store is `rocksdb://`.

    `keeper` takes partitions over before Faust looks how far their changelogs are to be recovered. Set `inheritance`
    before the app starts.
    """

    inheritance: Inheritance

    def __init__(self, app: Any, name: str, keeper: Keeper) -> None:
        options = {"key_type": bytes, "value_type": bytes, "options": dict(_ROCKSDB)}
        super().__init__(app, name=name, beacon=app.tables.beacon, **options)
        self._keeper = keeper
        app.tables.add(self)

    async def on_rebalance(
        self, assigned: set[Any], revoked: set[Any], newly_assigned: set[Any], generation_id: int = 0
    ) -> None:
        """Close and open what Faust says, while nothing is written, and take over what is assigned."""
        self._keeper.let_go()
        for tp in newly_assigned:
            if tp.topic == self.changelog:
                await self.inheritance.take(self.data.partition_path(tp.partition))
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)
        await self._keeper.take_over({tp.partition for tp in assigned if tp.topic == self.changelog})

    @property
    def changelog(self) -> str:
        """The physical name of the changelog topic."""
        return str(self.changelog_topic.get_topic_name())

    def recovered_to(self, partition: int) -> int:
        """The offset up to which the partition's changelog is in RocksDB, -1 for nothing."""
        offset = self.data.persisted_offset(TP(self.changelog, partition))
        return -1 if offset is None else int(offset)

    def get(self, partition: int, keys: list[bytes]) -> list[bytes | None]:
        """The values of `keys`, None for those that are not there. Raises TableUnreadable."""
        try:
            return list(self._db(partition).get(keys)) if keys else []
        except Exception as error:
            raise TableUnreadable(f"partition {partition} of the table cannot be read: {error}") from error

    def place(self, partition: int) -> Place:
        """Where in the log the rows of the partition are."""
        value = self._db(partition).get(PLACE_KEY)
        return read_place(value) if value else Place()

    def holds(self, partition: int) -> Holds:
        """Which orders of the partition are parked."""
        value = self._db(partition).get(HELD_KEY)
        return read_holds(value) if value else NOTHING

    def write(self, partition: int, rows: Iterable[Write], changelog_offset: int) -> None:
        """Put `rows`, the last of which is at `changelog_offset`, in place of those with the same keys; all or none."""
        batch = WriteBatch(raw_mode=True)
        for key, value in rows:
            batch.put(key, value)
        batch.put(self.data.offset_key, str(changelog_offset).encode())
        self._db(partition).write(batch)

    def rows(self, partition: int, first: bytes, end: bytes) -> Iterator[Write]:
        """The rows from key `first` up to `end` (not included) as they are at this moment, whenever they are read.

        From any thread. An iterator of RocksDB keeps the state in which it was made, so it is made here; what
        rocksdict calls a snapshot makes its iterators later, which then show later rows.
        """
        return takewhile(lambda row: row[0] < end, self._db(partition).items(from_key=first))

    def _db(self, partition: int) -> Any:
        return self.data._db_for_partition(partition)


def place_row(offset: int, place: Place) -> Write:
    """The row that says where the others are in the log; `offset` is that of the record that brought them there."""
    return PLACE_KEY, _PLACE.pack(offset, place.next_offset, place.term)


def read_place(value: bytes) -> Place:
    """What `place_row` wrote."""
    _, next_offset, term = _PLACE.unpack(value)
    return Place(next_offset, term)
