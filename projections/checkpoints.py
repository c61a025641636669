"""Rows and position in one transaction: what makes a redelivery, a rebalance or a second worker harmless.

The position's row is locked first, so workers of one partition take turns; records before it are
dropped; a batch that begins after it would leave a hole, and stops the worker. A comparison without the
lock is not enough: a batch of another owner may be in a transaction of its own at this very moment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eventlog.positions import Position
from eventlog.recorded import KafkaRecord, RecordedEvent, TermFilter, read_record
from projections.bulk import Connection
from projections.generations import Generation
from projections.read_ahead import DecodedRecord
from projections.view import EventFailed, View
from schemas.codec import Codec

POSITIONS_CHANNEL = "orderlog_positions"


class Hole(Exception):
    """Records are missing between the view's position and what the log delivered."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch came to: the position after it, the records that were new to the view, those of a deposed term."""

    next_offset: int
    records: int
    deposed: int = 0


async def apply_batch(
    connection: Connection,
    view: View,
    generation: Generation,
    codec: Codec,
    partition: int,
    records: Sequence[KafkaRecord],
) -> Applied:
    """Apply `records`, consecutive ones of `partition`, exactly once, however often they are delivered.

    Raises Hole or EventFailed; the transaction is then rolled back.
    """
    async with connection.transaction():
        next_offset, term = await _lock(connection, generation, partition)
        fresh = [record for record in records if record.offset >= next_offset]
        if not fresh:
            return Applied(next_offset, 0)
        _require_dense(partition, next_offset, fresh)
        terms = TermFilter(term)
        events = [event for event in (_read(codec, partition, record) for record in fresh) if terms.admits(event)]
        await view.apply(connection, generation.schema, _handled(view, events))
        reached = fresh[-1].offset + 1
        await _advance(connection, generation, Position(partition, reached), terms.term)
    return Applied(reached, len(fresh), terms.dropped)


async def read_positions(connection: Connection, generation: Generation) -> Mapping[int, int]:
    """{partition: next offset} of a generation; partitions that it has nothing of are missing."""
    query = "SELECT partition, next_offset FROM orderlog.checkpoints WHERE projection = %s AND generation = %s"
    return dict(await (await connection.execute(query, [generation.projection, generation.number])).fetchall())


def _require_dense(partition: int, next_offset: int, records: Sequence[KafkaRecord]) -> None:
    # order.events has no transactions and is never compacted, so each offset is a record. Holding to that
    # also shows what the client hides: it goes on elsewhere, silently, when its offset is not in the log.
    expected = range(next_offset, next_offset + len(records))
    for offset, record in zip(expected, records, strict=True):
        if record.offset != offset:
            raise Hole(f"partition {partition}: the view is at offset {offset}, the log went on at {record.offset}")


def _read(codec: Codec, partition: int, record: KafkaRecord) -> RecordedEvent:
    if isinstance(record, DecodedRecord):
        return record.recorded
    try:
        return read_record(codec, partition, record)
    except ValueError as error:  # DecodeError is one
        raise EventFailed(Position(partition, record.offset), f"is no event of ours: {error}") from error


def _handled(view: View, events: Sequence[RecordedEvent]) -> list[RecordedEvent]:
    return [recorded for recorded in events if type(recorded.event) in view.handles]


async def _lock(connection: Connection, generation: Generation, partition: int) -> tuple[int, int]:
    key = [generation.projection, generation.number, partition]
    select = """
        SELECT next_offset, term FROM orderlog.checkpoints
        WHERE projection = %s AND generation = %s AND partition = %s FOR UPDATE
    """
    row = await (await connection.execute(select, key)).fetchone()
    if row is None:
        insert = """
            INSERT INTO orderlog.checkpoints (projection, generation, partition, next_offset, term)
            VALUES (%s, %s, %s, 0, 0) ON CONFLICT DO NOTHING
        """
        await connection.execute(insert, key)
        row = await (await connection.execute(select, key)).fetchone()
    assert row is not None  # inserted just now, by us or by another worker
    return row[0], row[1]


async def _advance(connection: Connection, generation: Generation, reached: Position, term: int) -> None:
    update = """
        WITH moved AS (
            UPDATE orderlog.checkpoints SET next_offset = %s, term = %s, updated_at = now()
            WHERE projection = %s AND generation = %s AND partition = %s RETURNING partition, next_offset
        )
        SELECT pg_notify(%s, format('%%s:%%s:%%s', %s::text, partition, next_offset - 1)) FROM moved
    """
    key = [generation.projection, generation.number, reached.partition]
    await connection.execute(update, [reached.offset, term, *key, POSITIONS_CHANNEL, generation.projection])
