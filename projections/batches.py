"""What of a delivered batch is new to a view: redelivered records trimmed, holes refused, deposed writers dropped."""

from collections.abc import Sequence
from dataclasses import dataclass

from eventlog.positions import Position
from eventlog.recorded import Fact, KafkaRecord, RecordedEvent, TermFilter, read_fact, read_record
from projections.failures import Hole
from projections.read_ahead import DecodedRecord
from projections.view import EventFailed
from schemas.codec import Codec


@dataclass(frozen=True, slots=True)
class Place:
    """Where a view is in a partition: the next offset it takes, and the term of the last barrier before it."""

    next_offset: int = 0
    term: int = 0


@dataclass(frozen=True, slots=True)
class New:
    """What a view is to fold, where it is afterwards, and what that was taken from.

    `records` are those that were new to the view; `deposed` of them are of a deposed term.
    """

    facts: Sequence[Fact]
    after: Place
    records: int
    deposed: int = 0


def new_facts(
    codec: Codec, handles: frozenset[type], partition: int, place: Place, records: Sequence[KafkaRecord]
) -> New:
    """What of `records`, consecutive ones of `partition`, comes after `place`, as far as the view `handles` it.

    Raises Hole, or EventFailed at a record that is no event.
    """
    fresh, terms = fresh_records(partition, place, records), TermFilter(place.term)
    read = (fact_of(codec, partition, record) for record in fresh)
    facts = [fact for fact in read if terms.admits_event(fact.term, fact.event) and type(fact.event) in handles]
    return New(facts, after(place, fresh, terms), len(fresh), terms.dropped)


def fresh_records(partition: int, place: Place, records: Sequence[KafkaRecord]) -> Sequence[KafkaRecord]:
    """Those of `records` that come after `place`. Raises Hole when they do not follow it."""
    fresh = records
    if records and records[0].offset < place.next_offset:
        fresh = [record for record in records if record.offset >= place.next_offset]
    # order.events has no transactions and is never compacted, so each offset is a record. Holding to that
    # also shows what the client hides: it goes on elsewhere, silently, when its offset is not in the log.
    offsets = [record.offset for record in fresh]
    expected = list(range(place.next_offset, place.next_offset + len(fresh)))
    if offsets != expected:
        at, found = next(both for both in zip(expected, offsets, strict=True) if both[0] != both[1])
        raise Hole(f"partition {partition}: the view is at offset {at}, the log went on at {found}")
    return fresh


def after(place: Place, fresh: Sequence[KafkaRecord], terms: TermFilter) -> Place:
    """Where a view is that was at `place` and took `fresh`, which `terms` has seen."""
    return Place(fresh[-1].offset + 1, terms.term) if fresh else place


def recorded_event(codec: Codec, partition: int, record: KafkaRecord) -> RecordedEvent:
    """The event of `record`, which may have been decoded ahead. Raises as `read_record` does."""
    return record.recorded if isinstance(record, DecodedRecord) else read_record(codec, partition, record)


def fact_of(codec: Codec, partition: int, record: KafkaRecord) -> Fact:
    """The fact of `record`. Raises EventFailed when it is no event."""
    try:
        return read_fact(codec, record)
    except ValueError as error:  # DecodeError is one
        raise EventFailed(Position(partition, record.offset), f"is no event of ours: {error}") from error
