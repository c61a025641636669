"""A table's changelog topic, written by one fenced worker per partition.

Faust would send each key by itself, at 70 to 100 µs, and a worker that was suspended could overwrite its
successor's rows when it wakes up. So the rows of a batch go out as record batches of the log's own fenced
appender, which the broker refuses once another worker was elected: docs/adr/0017-tables-in-rocksdb.md.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from eventlog.fencing import Draft, Epoch, LogClient, advance
from projections.table_view import Write
from schemas.errors import Explained
from schemas.topics import Pattern, Topic

WRITER_KEY = b"\x00writer"
_MOST_BYTES = 900_000  # of one record batch: a broker takes 1 MiB
_RECORD_OVERHEAD = 24


class TooLarge(Explained):
    """Rows that must be written at once are too many for that."""


@dataclass(slots=True, eq=False)
class Tenure:
    """The right to write one partition, from the record at offset `barrier` on, until another is elected.

    `mandate` is higher than that of every tenure before it.
    """

    partition: int
    epoch: Epoch
    barrier: int = -1
    sequence: int = 0

    @property
    def mandate(self) -> int:
        """The epoch and, where the broker had to begin again with a new one, the producer id above it."""
        return self.epoch.producer_id << 16 | self.epoch.epoch


class Changelog:
    """Appends to the changelog `topic`, under whose name the writers of its partitions are elected."""

    def __init__(self, bootstrap: str, topic: str, request_timeout_s: float) -> None:
        self._topic = topic
        self._client = LogClient(bootstrap, topic, request_timeout_s)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.__aexit__()

    async def elect(self, partition: int, name: str) -> Tenure:
        """Be the partition's only writer, known as `name`: what older ones send is refused from here on.

        Waits for the broker. Raises Fenced when another is elected at this moment, or OutcomeUnknown.
        """
        tenure = Tenure(partition, await self._client.elect(f"{self._topic}-{partition}"))
        tenure.barrier = await self.append(tenure, [(WRITER_KEY, name.encode())])
        return tenure

    async def append(self, tenure: Tenure, rows: Iterable[Write]) -> int:
        """Append `rows`, in order; the last one's offset, once all in-sync replicas have them.

        Waits for the broker. Raises Fenced or OutcomeUnknown; a first part of the rows is then there.
        """
        return await self._append(tenure, _in_batches(rows, int(time.time() * 1000)))

    async def append_whole(self, tenure: Tenure, rows: Iterable[Write]) -> int:
        """As `append`, but all of the rows or none. Raises TooLarge when they do not fit into one record batch."""
        batches = list(_in_batches(rows, int(time.time() * 1000)))
        if len(batches) > 1:
            raise TooLarge(f"{sum(map(len, batches))} rows are more than one record batch takes")
        return await self._append(tenure, batches)

    async def _append(self, tenure: Tenure, batches: Iterable[Sequence[Draft]]) -> int:
        last = -1
        for drafts in batches:
            first = await self._client.append(tenure.partition, tenure.epoch, tenure.sequence, drafts)
            tenure.sequence = advance(tenure.sequence, len(drafts))
            last = first + len(drafts) - 1
        return last


def changelog_topic(name: str, owner: str) -> Topic:
    """The changelog called `name` (without the prefix of the settings), partitioned as the log is."""
    return Topic(
        name=name,
        owner=owner,
        pattern=Pattern.INTERNAL,
        key="the row's key",
        schemas=(),
        partitions=None,
        config={
            "cleanup.policy": "compact",
            # Only closed segments are compacted, and a worker without its folder reads all that was not.
            "segment.bytes": str(32 * 2**20),
            "min.cleanable.dirty.ratio": "0.1",
        },
        reason="The table's rows, from which a worker that lost its folder, or has another's partition, makes them.",
    )


def _in_batches(rows: Iterable[Write], timestamp_ms: int) -> Iterator[Sequence[Draft]]:
    drafts: list[Draft] = []
    size = 0
    for key, value in rows:
        length = len(key) + len(value) + _RECORD_OVERHEAD
        if drafts and size + length > _MOST_BYTES:
            yield drafts
            drafts, size = [], 0
        drafts.append(Draft(key, value, [], timestamp_ms))
        size += length
    if drafts:
        yield drafts
