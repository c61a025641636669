"""Rows and position in one transaction: what makes a redelivery, a rebalance or a second worker harmless.

The position's row is locked first, so workers of one partition take turns; records before it are
dropped; a batch that begins after it would leave a hole, and stops the worker. A comparison without the
lock is not enough: a batch of another owner may be in a transaction of its own at this very moment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eventlog.recorded import KafkaRecord
from projections.batches import Place, new_events
from projections.bulk import Connection
from projections.generations import Generation
from projections.view import View
from schemas.codec import Codec

POSITIONS_CHANNEL = "orderlog_positions"


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
        place = await _lock(connection, generation, partition)
        new = new_events(codec, view.handles, partition, place, records)
        if new.records:
            await view.apply(connection, generation.schema, new.events)
            await _advance(connection, generation, partition, new.after)
    return Applied(new.after.next_offset, new.records, new.deposed)


async def read_positions(connection: Connection, generation: Generation) -> Mapping[int, int]:
    """{partition: next offset} of a generation; partitions that it has nothing of are missing."""
    query = "SELECT partition, next_offset FROM orderlog.checkpoints WHERE projection = %s AND generation = %s"
    return dict(await (await connection.execute(query, [generation.projection, generation.number])).fetchall())


async def _lock(connection: Connection, generation: Generation, partition: int) -> Place:
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
    return Place(*row)


async def _advance(connection: Connection, generation: Generation, partition: int, after: Place) -> None:
    update = """
        WITH moved AS (
            UPDATE orderlog.checkpoints SET next_offset = %s, term = %s, updated_at = now()
            WHERE projection = %s AND generation = %s AND partition = %s RETURNING partition, next_offset
        )
        SELECT pg_notify(%s, format('%%s:%%s:%%s', %s::text, partition, next_offset - 1)) FROM moved
    """
    key = [generation.projection, generation.number, partition]
    await connection.execute(update, [after.next_offset, after.term, *key, POSITIONS_CHANNEL, generation.projection])
