"""Rows and position in one transaction: what makes a redelivery, a rebalance or a second worker harmless.

The position's row is locked first, so workers of one partition take turns; records before it are
dropped; a batch that begins after it would leave a hole, and stops the worker. A comparison without the
lock is not enough: a batch of another owner may be in a transaction of its own at this very moment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from eventlog.recorded import KafkaRecord, RecordedEvent, TermFilter
from projections.batches import Place, after, fresh_records, recorded_event
from projections.bulk import Connection
from projections.generations import Generation
from projections.parking import Failure, ToPark, first_reason, held_orders, is_park, park, require_few
from projections.parking_isolation import apply_each, order_id_of, read_each
from projections.view import View
from schemas.codec import Codec
from schemas.events import WriterElected

POSITIONS_CHANNEL = "orderlog_positions"
MOST_PARKED = 1_000


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch came to: the position after it, the records that were new to the view.

    `deposed` of them are of a deposed term, `parked` of them were set aside, the first for this `reason`.
    """

    next_offset: int
    records: int
    deposed: int = 0
    parked: int = 0
    reason: str | None = field(default=None, compare=False)


async def apply_batch(
    connection: Connection,
    view: View,
    generation: Generation,
    codec: Codec,
    partition: int,
    records: Sequence[KafkaRecord],
    most_parked: int = MOST_PARKED,
) -> Applied:
    """Apply `records`, consecutive ones of `partition`, exactly once, however often they are delivered.

    What cannot be read or applied is parked, later events of the same order with it. Raises Hole, TooManyParked
    when that would be more than `most_parked` orders, and whatever is no event's fault; the transaction is then
    rolled back.
    """
    turn = _Turn(connection, view, generation, codec, partition, most_parked)
    try:
        async with connection.transaction():
            return await turn.apply(records, careful=False)
    except Exception as error:
        if not is_park(error):
            raise
    async with connection.transaction():
        return await turn.apply(records, careful=True)


@dataclass(frozen=True, slots=True)
class _Turn:
    """One partition, to be applied to within one transaction."""

    connection: Connection
    view: View
    generation: Generation
    codec: Codec
    partition: int
    most_parked: int

    async def apply(self, records: Sequence[KafkaRecord], *, careful: bool) -> Applied:
        """Apply `records`. Unless `careful`, one event that fails fails them all."""
        place = await lock(self.connection, self.generation, self.partition)
        fresh, terms = fresh_records(self.partition, place, records), TermFilter(place.term)
        if not fresh:
            return Applied(place.next_offset, 0)
        held = await held_orders(self.connection, self.generation, self.partition)
        parked = await self._fold(fresh, terms, dict.fromkeys(held, place.next_offset), careful=careful)
        reached = after(place, fresh, terms)
        await _advance(self.connection, self.generation, self.partition, reached)
        return Applied(reached.next_offset, len(fresh), terms.dropped, len(parked), first_reason(parked))

    async def _fold(
        self, fresh: Sequence[KafkaRecord], terms: TermFilter, held: dict[UUID, int], *, careful: bool
    ) -> list[ToPark]:
        """Apply what can be applied of `fresh`, park the rest, and return that.

        `held` says from which offset on the records of an order are parked.
        """
        if careful:
            events, parked = read_each(self.codec, self.partition, fresh, terms)
        else:
            read = (recorded_event(self.codec, self.partition, record) for record in fresh)
            events, parked = [event for event in read if terms.admits(event)], []
        for one in parked:
            if one.order_id:
                held.setdefault(one.order_id, one.record.offset)
        failures = await self._apply([event for event in events if not _is_held(event, held)], careful=careful)
        held |= {order_id: failure.offset for order_id, failure in failures.items()}
        if held:
            require_few(self.partition, len(held), self.most_parked)
            parked += _behind(fresh, [event for event in events if _is_held(event, held)], failures)
        if parked:
            await park(self.connection, self.generation, self.partition, parked)
        return parked

    async def _apply(self, events: Sequence[RecordedEvent], *, careful: bool) -> dict[UUID, Failure]:
        handled = [recorded for recorded in events if type(recorded.event) in self.view.handles]
        if careful:
            return await apply_each(self.connection, self.view, self.generation.schema, handled)
        if handled:
            await self.view.apply(self.connection, self.generation.schema, handled)
        return {}


def _is_held(recorded: RecordedEvent, held: Mapping[UUID, int]) -> bool:
    if not held or isinstance(recorded.event, WriterElected):
        return False
    since = held.get(recorded.event.order_id)
    return since is not None and recorded.position.offset >= since


def _behind(
    fresh: Sequence[KafkaRecord], held: Sequence[RecordedEvent], failures: Mapping[UUID, Failure]
) -> list[ToPark]:
    """The records of the events `held`, each with its failure if it is the one that failed."""
    parked = []
    for recorded in held:
        order_id, offset = order_id_of(recorded), recorded.position.offset
        failure = failures.get(order_id)
        record = fresh[offset - fresh[0].offset]  # offsets are dense
        parked.append(ToPark(record, order_id, failure if failure and failure.offset == offset else None))
    return parked


async def read_positions(connection: Connection, generation: Generation) -> Mapping[int, int]:
    """{partition: next offset} of a generation; partitions that it has nothing of are missing."""
    query = "SELECT partition, next_offset FROM orderlog.checkpoints WHERE projection = %s AND generation = %s"
    return dict(await (await connection.execute(query, [generation.projection, generation.number])).fetchall())


async def lock(connection: Connection, generation: Generation, partition: int) -> Place:
    """Lock the position of `partition` until the transaction ends, and say what it is."""
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


async def announce(connection: Connection, generation: Generation, partition: int) -> None:
    """Notify whoever waits for the view to change, if this is its live generation: its position may not have moved."""
    query = """
        SELECT pg_notify(%s, format('%%s:%%s:%%s', projection, partition, next_offset - 1))
        FROM orderlog.checkpoints JOIN orderlog.generations g USING (projection, generation)
        WHERE projection = %s AND generation = %s AND partition = %s AND g.state = 'live'
    """
    await connection.execute(query, [POSITIONS_CHANNEL, generation.projection, generation.number, partition])


async def _advance(connection: Connection, generation: Generation, partition: int, to: Place) -> None:
    update = """
        WITH moved AS (
            UPDATE orderlog.checkpoints SET next_offset = %s, term = %s, updated_at = now()
            WHERE projection = %s AND generation = %s AND partition = %s RETURNING partition, next_offset
        )
        SELECT pg_notify(%s, format('%%s:%%s:%%s', %s::text, partition, next_offset - 1)) FROM moved
        WHERE EXISTS (SELECT FROM orderlog.generations WHERE generation = %s AND state = 'live')
    """
    key = [generation.projection, generation.number, partition]
    await connection.execute(update, [to.next_offset, to.term, *key, POSITIONS_CHANNEL, *key[:2]])
