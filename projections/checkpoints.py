"""Rows and position in one transaction: what makes a redelivery, a rebalance or a second worker harmless.

The position's row is locked first, so workers of one partition take turns; records before it are
dropped; a batch that begins after it would leave a hole, and stops the worker. A comparison without the
lock is not enough: a batch of another owner may be in a transaction of its own at this very moment.

Batches of several partitions share a transaction, and the wait for the disk that ends it. Each partition is trimmed
and moved by itself; all are locked first, in the order of their numbers, so that two workers do not deadlock.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from eventlog.recorded import KafkaRecord, RecordedEvent, TermFilter
from projections.batches import Place, after, fresh_records, recorded_event, unknown_types
from projections.generations import Generation
from projections.parking import HELD, Failure, ToPark, first_reason, is_park, park, require_few
from projections.parking_isolation import apply_each, order_id_of, read_each
from projections.publishing import Outbox, Publisher
from projections.view import View
from schemas.codec import Codec
from schemas.events import WriterElected
from service.database import Connection

POSITIONS_CHANNEL = "orderlog_positions"
MOST_PARKED = 1_000
# Records of a partition, on average, that are applied in a pipeline. Of more, COPY costs less, and takes no pipeline.
_FEW = 300

_LOCK = """
    SELECT partition, next_offset, term FROM orderlog.checkpoints
    WHERE projection = %s AND generation = %s AND partition = ANY(%s) ORDER BY partition FOR UPDATE
"""
_BEGIN = """
    INSERT INTO orderlog.checkpoints (projection, generation, partition, next_offset, term)
    SELECT %s, %s, partition, 0, 0 FROM unnest(%s::integer[]) partition ORDER BY partition ON CONFLICT DO NOTHING
"""
_ADVANCE = """
    WITH moved AS (
        UPDATE orderlog.checkpoints c SET next_offset = t.next_offset, term = t.term, updated_at = now()
        FROM unnest(%s::integer[], %s::bigint[], %s::bigint[]) AS t (partition, next_offset, term)
        WHERE projection = %s AND generation = %s AND c.partition = t.partition RETURNING c.partition, c.next_offset
    )
    SELECT pg_notify(%s, format('%%s:%%s:%%s', %s::text, partition, next_offset - 1)) FROM moved
    WHERE EXISTS (SELECT FROM orderlog.generations WHERE generation = %s AND state = 'live')
"""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch came to: the position after it, the records that were new to the view.

    `deposed` of them are of a deposed term, `parked` of them were set aside, the first for this `reason`. `unknown`
    counts those of each type that only a newer release knows.
    """

    next_offset: int
    records: int
    deposed: int = 0
    parked: int = 0
    reason: str | None = field(default=None, compare=False)
    unknown: Mapping[str, int] = field(default_factory=dict)


async def apply_batch(
    connection: Connection,
    view: View,
    generation: Generation,
    codec: Codec,
    partition: int,
    records: Sequence[KafkaRecord],
    most_parked: int = MOST_PARKED,
) -> Applied:
    """As `apply_batches`, of one partition."""
    batches = {partition: records}
    return (await apply_batches(connection, view, generation, codec, batches, most_parked))[partition]


async def apply_batches(
    connection: Connection,
    view: View,
    generation: Generation,
    codec: Codec,
    batches: Mapping[int, Sequence[KafkaRecord]],
    most_parked: int = MOST_PARKED,
    publisher: Publisher | None = None,
) -> dict[int, Applied]:
    """Apply `batches`, {partition: consecutive records of it}, exactly once, however often they are delivered.

    What cannot be read or applied is parked, later events of the same order with it. Raises Hole, TooManyParked
    when that would be more than `most_parked` orders of a partition, and whatever is no event's fault; the transaction
    is then rolled back. Partitions are applied in one transaction, or, if an event in them fails, each in its own.
    What a view says to the world is published by `publisher` at the end of it.
    """
    turn = _Turn(connection, view, generation, codec, most_parked, publisher)
    try:
        return await turn.apply(batches, careful=False)
    except Exception as error:
        if not is_park(error):
            raise
    if len(batches) == 1:
        return await turn.apply(batches, careful=True)
    applied: dict[int, Applied] = {}
    for partition, records in batches.items():
        one = {partition: records}
        applied |= await apply_batches(connection, view, generation, codec, one, most_parked, publisher)
    return applied


@dataclass(frozen=True, slots=True)
class _Turn:
    """What is needed to apply batches within one transaction."""

    connection: Connection
    view: View
    generation: Generation
    codec: Codec
    most_parked: int
    publisher: Publisher | None

    async def apply(self, batches: Mapping[int, Sequence[KafkaRecord]], *, careful: bool) -> dict[int, Applied]:
        """Apply `batches`. Unless `careful`, one event that fails fails them all."""
        outbox = Outbox(self.publisher)
        async with self.connection.transaction():
            async with AsyncExitStack() as together:
                if not careful and sum(map(len, batches.values())) <= _FEW * len(batches):
                    await together.enter_async_context(self.connection.pipeline())
                applied = await self._apply(batches, outbox, careful=careful)
            # Now that Postgres has taken everything, and nobody else can be at these partitions.
            await outbox.send(self.connection)
        return applied

    async def _apply(
        self, batches: Mapping[int, Sequence[KafkaRecord]], outbox: Outbox, *, careful: bool
    ) -> dict[int, Applied]:
        places, held = await lock(self.connection, self.generation, list(batches))
        applied: dict[int, Applied] = {}
        reached: dict[int, Place] = {}
        for partition in sorted(batches):
            place, waiting = places[partition], held.get(partition, ())
            one = _Partition(self, partition, place, TermFilter(place.term), outbox)
            applied[partition], reached[partition] = await one.apply(batches[partition], waiting, careful=careful)
        await _advance(self.connection, self.generation, {p: at for p, at in reached.items() if at != places[p]})
        return applied


@dataclass(frozen=True, slots=True)
class _Partition:
    """One partition, whose position is locked, to be applied to within a transaction."""

    turn: _Turn
    partition: int
    place: Place
    terms: TermFilter
    outbox: Outbox

    async def apply(
        self, records: Sequence[KafkaRecord], held: Iterable[UUID], *, careful: bool
    ) -> tuple[Applied, Place]:
        """Apply `records`, of which those of the orders `held` are parked. Returns the place after them, too."""
        fresh = fresh_records(self.partition, self.place, records)
        if not fresh:
            return Applied(self.place.next_offset, 0), self.place
        held_since = dict.fromkeys(held, self.place.next_offset)
        parked, unknown = await self._fold(fresh, held_since, careful=careful)
        reached = after(self.place, fresh, self.terms)
        counted = (len(fresh), self.terms.dropped, len(parked))
        return Applied(reached.next_offset, *counted, first_reason(parked), unknown), reached

    async def _fold(
        self, fresh: Sequence[KafkaRecord], held: dict[UUID, int], *, careful: bool
    ) -> tuple[list[ToPark], Mapping[str, int]]:
        """Apply what can be applied of `fresh`, park the rest, and return that, and what of the first is unknown.

        `held` says from which offset on the records of an order are parked.
        """
        turn, terms = self.turn, self.terms
        if careful:
            events, parked = read_each(turn.codec, self.partition, fresh, terms)
        else:
            read = (recorded_event(turn.codec, self.partition, record) for record in fresh)
            events, parked = [event for event in read if terms.admits(event)], []
        for one in parked:
            if one.order_id:
                held.setdefault(one.order_id, one.record.offset)
        failures = await self._apply([event for event in events if not _is_held(event, held)], careful=careful)
        held |= {order_id: failure.offset for order_id, failure in failures.items()}
        if held:
            require_few(self.partition, len(held), turn.most_parked)
            parked += _behind(fresh, [event for event in events if _is_held(event, held)], failures)
        if parked:
            await park(turn.connection, turn.generation, self.partition, parked)
        return parked, unknown_types(event for event in events if not _is_held(event, held))

    async def _apply(self, events: Sequence[RecordedEvent], *, careful: bool) -> dict[UUID, Failure]:
        turn = self.turn
        handled = [recorded for recorded in events if type(recorded.event) in turn.view.handles]
        if careful:
            return await apply_each(turn.connection, turn.view, turn.generation.schema, handled, self.outbox)
        if handled:
            self.outbox.add(await turn.view.apply(turn.connection, turn.generation.schema, handled))
        return {}


def _is_held(recorded: RecordedEvent, held: Mapping[UUID, int]) -> bool:
    if not held or type(recorded.event) is WriterElected:
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


async def lock(
    connection: Connection, generation: Generation, partitions: Sequence[int]
) -> tuple[dict[int, Place], dict[int, set[UUID]]]:
    """Lock the positions of `partitions` until the transaction ends; what they are, and which orders are held there."""
    key = [generation.projection, generation.number, list(partitions)]
    places, held = await _locked(connection, key)
    if len(places) < len(partitions):
        await connection.execute(_BEGIN, key)
        places, held = await _locked(connection, key)
    return places, held


async def _locked(connection: Connection, key: list[Any]) -> tuple[dict[int, Place], dict[int, set[UUID]]]:
    # In a pipeline both are asked at once. In one statement they would be seen as of one moment, before the lock.
    places, parked = await connection.execute(_LOCK, key), await connection.execute(HELD, key)
    found = {partition: Place(*place) for partition, *place in await places.fetchall()}
    held: dict[int, set[UUID]] = {}
    for partition, order_id in await parked.fetchall():
        held.setdefault(partition, set()).add(order_id)
    return found, held


async def announce(connection: Connection, generation: Generation, partition: int) -> None:
    """Notify whoever waits for the view to change, if this is its live generation: its position may not have moved."""
    query = """
        SELECT pg_notify(%s, format('%%s:%%s:%%s', projection, partition, next_offset - 1))
        FROM orderlog.checkpoints JOIN orderlog.generations g USING (projection, generation)
        WHERE projection = %s AND generation = %s AND partition = %s AND g.state = 'live'
    """
    await connection.execute(query, [POSITIONS_CHANNEL, generation.projection, generation.number, partition])


async def _advance(connection: Connection, generation: Generation, to: Mapping[int, Place]) -> None:
    if not to:
        return
    places = [list(to), [place.next_offset for place in to.values()], [place.term for place in to.values()]]
    of = [generation.projection, generation.number]
    await connection.execute(_ADVANCE, [*places, *of, POSITIONS_CHANNEL, *of])
