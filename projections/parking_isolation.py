"""Which events of a batch cannot be read or applied: looked for only once the batch as a whole has failed.

A view folds a whole batch with a few statements, and Postgres does not say which of its rows came from which event.
So the batch is halved by orders until each failing order stands alone, and that one is applied event by event:
2 log2(n) attempts for one failing order of n, 2n when all of them fail.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import TypeVar
from uuid import UUID

from eventlog.recorded import Fact, KafkaRecord, Metadata, RecordedEvent, TermFilter, from_headers
from projections.batches import fact_of, recorded_event
from projections.parking import Failure, ToPark, is_park, order_of
from projections.publishing import Outbox
from projections.view import View
from schemas.codec import Codec
from schemas.events import WriterElected
from service.database import Connection

T = TypeVar("T")


def read_each(
    codec: Codec, partition: int, records: Sequence[KafkaRecord], terms: TermFilter
) -> tuple[list[RecordedEvent], list[ToPark]]:
    """The events among `records` that count, and the records that cannot be read and are not of a deposed term."""
    return _read_each(partial(recorded_event, codec, partition), terms.admits, records, terms)


def read_each_fact(
    codec: Codec, partition: int, records: Sequence[KafkaRecord], terms: TermFilter
) -> tuple[list[Fact], list[ToPark]]:
    """As `read_each`, the events as facts."""
    read = partial(fact_of, codec, partition)
    return _read_each(read, lambda fact: terms.admits_event(fact.term, fact.event), records, terms)


def _read_each(
    read: Callable[[KafkaRecord], T], admits: Callable[[T], bool], records: Sequence[KafkaRecord], terms: TermFilter
) -> tuple[list[T], list[ToPark]]:
    events: list[T] = []
    unreadable: list[ToPark] = []
    for record in records:
        try:
            event = read(record)
        except Exception as error:
            if not is_park(error):
                raise
            if _counts(record, terms):
                unreadable.append(ToPark(record, order_of(record), Failure(record.offset, error)))
        else:
            if admits(event):
                events.append(event)
    return events, unreadable


async def apply_each(
    connection: Connection, view: View, schema: str, events: Sequence[RecordedEvent], outbox: Outbox
) -> dict[UUID, Failure]:
    """Apply what can be applied of `events`: of each order up to its first one that fails, which is returned.

    What is then to be published comes into the `outbox`.
    """
    orders: dict[UUID, list[RecordedEvent]] = {}
    for recorded in events:
        orders.setdefault(order_id_of(recorded), []).append(recorded)
    failures: dict[UUID, Failure] = {}
    waiting = [list(orders.values())] if orders else []
    while waiting:
        group = waiting.pop()
        together = sorted(chain.from_iterable(group), key=_offset)
        if await attempt(connection, view, schema, together, outbox) is None:
            continue
        if len(group) > 1:
            half = len(group) // 2
            waiting += [group[half:], group[:half]]
        elif failure := await apply_in_turn(connection, view, schema, together, outbox):
            failures[order_id_of(together[0])] = failure
    return failures


async def apply_in_turn(
    connection: Connection, view: View, schema: str, events: Sequence[RecordedEvent], outbox: Outbox
) -> Failure | None:
    """Apply one order's `events` until one fails: that one, None when all are applied."""
    for recorded in events:
        if error := await attempt(connection, view, schema, [recorded], outbox):
            return Failure(recorded.position.offset, error)
    return None


async def attempt(
    connection: Connection, view: View, schema: str, events: Sequence[RecordedEvent], outbox: Outbox
) -> Exception | None:
    """Apply `events`, all or none of them; the error when they are the cause of it. Raises all others."""
    try:
        async with connection.transaction():
            # A view's staging tables are emptied at the end of a transaction, which may be several attempts away.
            await connection.execute("DISCARD TEMP")
            outbox.add(await view.apply(connection, schema, events))
    except Exception as error:
        if not is_park(error):
            raise
        return error
    return None


def order_id_of(recorded: RecordedEvent) -> UUID:
    """The order of an event that is no barrier."""
    assert not isinstance(recorded.event, WriterElected)
    return recorded.event.order_id


def _offset(recorded: RecordedEvent) -> int:
    return recorded.position.offset


def _counts(record: KafkaRecord, terms: TermFilter) -> bool:
    """What TermFilter.admits says of a record that cannot be decoded, as far as its headers can be read.

    A barrier's term is in its headers, so one with an unreadable body still deposes the writers before it.
    """
    about = _metadata(record)
    if about is None:
        return True
    barrier = record.key is None and about.version == 0
    if about.term < terms.term or (barrier and about.term == terms.term):
        terms.dropped += 1
        return False
    if barrier:
        terms.term = about.term
    return True


def _metadata(record: KafkaRecord) -> Metadata | None:
    try:
        return from_headers(record.headers)
    except (ValueError, AttributeError):
        return None
