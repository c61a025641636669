"""While batches are written, those that come meanwhile are decoded: Postgres and this process work at the same time.

Only the work is done ahead. A batch is applied, and fails, in its turn; one that comes to nothing, because its
partition went to another worker, was decoded for nothing and no more.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, MutableSequence, Sequence
from contextlib import suppress
from typing import Any

from msgspec import Struct

from eventlog.recorded import Header, KafkaRecord, RecordedEvent, read_record
from schemas.codec import Codec

# Records that are decoded in one go: about a millisecond, for which an answer of Postgres may lie there.
_SLICE = 100
# Records that may wait, apart from the last batch: more make no batch cheaper, and all are in memory twice.
MOST_RECORDS = 8_000


class DecodedRecord(Struct, gc=False):
    """A record that was decoded before its batch's turn; what a batch is made of otherwise are a consumer's records."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    headers: Iterable[Header]
    recorded: RecordedEvent


class Round:
    """Batches of Faust's that are to be applied together: `events`, and by partition their `records`."""

    def __init__(self, events: Sequence[Any] = (), most: int = MOST_RECORDS) -> None:
        """Of `events`; what it `takes` after them ends at `most` records."""
        self._most = most
        self.events: list[Any] = []
        self._records: dict[int, list[KafkaRecord]] = {}
        for event in events:
            self.add(event)

    @property
    def records(self) -> Mapping[int, Sequence[KafkaRecord]]:
        """{partition: consecutive records}."""
        return self._records

    def takes(self, event: Any) -> bool:
        """Whether there is room for the batch, and it goes on where its partition's records end.

        It does not when a rebalance lies between them.
        """
        known = self._records.get(event.message.partition)
        follows = not known or event.message.value[0].offset == known[-1].offset + 1
        return follows and sum(map(len, self._records.values())) < self._most

    def add(self, event: Any) -> None:
        """Add a batch that it `takes`."""
        self.events.append(event)
        self._records.setdefault(event.message.partition, []).extend(event.message.value)


async def decoded_ahead(
    batches: AsyncIterator[Any], codec: Codec, most: int = MOST_RECORDS
) -> AsyncGenerator[Round, None]:
    """Yield Faust's `batches`, decoded: each time all that came while the ones before were with the caller.

    A round is full from `most` records on.
    """
    coming, came, taken = Round(most=most), asyncio.Event(), asyncio.Event()

    async def gather() -> None:
        try:
            async for batch in batches:
                await decode(codec, batch.message.partition, batch.message.value)
                while not coming.takes(batch):
                    taken.clear()
                    await taken.wait()
                coming.add(batch)
                came.set()
        finally:
            came.set()

    gathering = asyncio.create_task(gather())
    try:
        while not gathering.done() or coming.events:
            await came.wait()
            came.clear()
            ready, coming = coming, Round(most=most)
            taken.set()
            if ready.events:
                yield ready
        await gathering
    finally:
        gathering.cancel()
        with suppress(asyncio.CancelledError):
            await gathering


async def decode(codec: Codec, partition: int, records: MutableSequence[KafkaRecord]) -> None:
    """Put decoded records in the place of `records`, up to the first that cannot be decoded: it fails in its turn."""
    for index, record in enumerate(records):
        try:
            recorded = read_record(codec, partition, record)
        except Exception:  # whatever it is, the batch's turn will show it, and there it is known what to do about it
            return
        records[index] = DecodedRecord(
            record.offset, record.timestamp, record.key, record.value, record.headers, recorded
        )
        if index % _SLICE == _SLICE - 1:
            await asyncio.sleep(0)
