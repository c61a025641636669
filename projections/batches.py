"""What of a delivered batch is new to a view: redelivered records trimmed, holes refused, deposed writers dropped."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from eventlog.positions import Position
from eventlog.recorded import Fact, KafkaRecord, RecordedEvent, TermFilter, read_fact, read_record
from projections.read_ahead import DecodedRecord
from projections.view import EventFailed
from schemas.codec import Codec

T = TypeVar("T")


class Hole(Exception):
    """Records are missing between the view's position and what the log delivered."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a view is in a partition: the next offset it takes, and the term of the last barrier before it."""

    next_offset: int = 0
    term: int = 0


@dataclass(frozen=True, slots=True)
class New(Generic[T]):
    """What a view is to fold, where it is afterwards, and what that was taken from.

    `records` are those that were new to the view; `deposed` of them are of a deposed term.
    """

    events: Sequence[T]
    after: Place
    records: int
    deposed: int = 0


def new_events(
    codec: Codec, handles: frozenset[type], partition: int, place: Place, records: Sequence[KafkaRecord]
) -> New[RecordedEvent]:
    """What of `records`, consecutive ones of `partition`, comes after `place`, as far as the view `handles` it.

    Raises Hole, or EventFailed at a record that is no event.
    """
    fresh, terms = _fresh(partition, place, records), TermFilter(place.term)
    read = partial(_recorded, codec, partition)
    admitted = [event for event in _reading(read, partition, fresh) if terms.admits(event)]
    events = [recorded for recorded in admitted if type(recorded.event) in handles]
    return New(events, _after(place, fresh, terms), len(fresh), terms.dropped)


def new_facts(
    codec: Codec, handles: frozenset[type], partition: int, place: Place, records: Sequence[KafkaRecord]
) -> New[Fact]:
    """The same as `new_events`, for a view that needs no more than facts."""
    fresh, terms = _fresh(partition, place, records), TermFilter(place.term)
    read = partial(read_fact, codec)
    admitted = [fact for fact in _reading(read, partition, fresh) if terms.admits_event(fact.term, fact.event)]
    facts = [fact for fact in admitted if type(fact.event) in handles]
    return New(facts, _after(place, fresh, terms), len(fresh), terms.dropped)


def _fresh(partition: int, place: Place, records: Sequence[KafkaRecord]) -> Sequence[KafkaRecord]:
    fresh = [record for record in records if record.offset >= place.next_offset]
    _require_dense(partition, place.next_offset, fresh)
    return fresh


def _after(place: Place, fresh: Sequence[KafkaRecord], terms: TermFilter) -> Place:
    return Place(fresh[-1].offset + 1, terms.term) if fresh else place


def _require_dense(partition: int, next_offset: int, records: Sequence[KafkaRecord]) -> None:
    # order.events has no transactions and is never compacted, so each offset is a record. Holding to that
    # also shows what the client hides: it goes on elsewhere, silently, when its offset is not in the log.
    expected = range(next_offset, next_offset + len(records))
    for offset, record in zip(expected, records, strict=True):
        if record.offset != offset:
            raise Hole(f"partition {partition}: the view is at offset {offset}, the log went on at {record.offset}")


def _recorded(codec: Codec, partition: int, record: KafkaRecord) -> RecordedEvent:
    return record.recorded if isinstance(record, DecodedRecord) else read_record(codec, partition, record)


def _reading(read: Callable[[KafkaRecord], T], partition: int, records: Sequence[KafkaRecord]) -> Iterator[T]:
    for record in records:
        try:
            yield read(record)
        except ValueError as error:  # DecodeError is one
            raise EventFailed(Position(partition, record.offset), f"is no event of ours: {error}") from error
