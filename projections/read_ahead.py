"""While one batch is written, the next is decoded: Postgres and this process work at the same time.

Only the work is done ahead. A batch is applied, and fails, in its turn; one that comes to nothing, because its
partition went to another worker, was decoded for nothing and no more.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, MutableSequence
from contextlib import suppress
from typing import Any

from eventlog.recorded import KafkaRecord, RecordedEvent, read_record
from schemas.codec import Codec

# Records that are decoded in one go: about a millisecond, for which an answer of Postgres may lie there.
_SLICE = 100


class DecodedRecord:
    """A record that was decoded before its batch's turn; what a batch is made of otherwise are a consumer's records."""

    __slots__ = ("headers", "key", "offset", "recorded", "timestamp", "value")

    def __init__(self, record: KafkaRecord, recorded: RecordedEvent) -> None:
        self.offset, self.timestamp, self.key = record.offset, record.timestamp, record.key
        self.value, self.headers = record.value, record.headers
        self.recorded = recorded


async def decoded_ahead(batches: AsyncIterator[Any], codec: Codec) -> AsyncGenerator[Any, None]:
    """Yield Faust's `batches`, each with its records decoded while the one before was with the caller."""

    async def decoded() -> Any:
        batch = await anext(batches, None)
        if batch is not None:
            await decode(codec, batch.message.partition, batch.message.value)
        return batch

    coming = asyncio.create_task(decoded())
    try:
        while (batch := await coming) is not None:
            coming = asyncio.create_task(decoded())
            yield batch
    finally:
        coming.cancel()
        with suppress(asyncio.CancelledError):
            await coming


async def decode(codec: Codec, partition: int, records: MutableSequence[KafkaRecord]) -> None:
    """Put decoded records in the place of `records`, up to the first that cannot be decoded: it fails in its turn."""
    for index, record in enumerate(records):
        try:
            records[index] = DecodedRecord(record, read_record(codec, partition, record))
        except Exception:  # whatever it is, the batch's turn will show it, and there it is known what to do about it
            return
        if index % _SLICE == _SLICE - 1:
            await asyncio.sleep(0)
