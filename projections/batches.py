"""What of a delivered batch is new to a view: redelivered records trimmed, holes refused, deposed writers dropped."""

from collections.abc import Sequence
from dataclasses import dataclass

from eventlog.positions import Position
from eventlog.recorded import KafkaRecord, RecordedEvent, TermFilter, read_record
from projections.view import EventFailed
from schemas.codec import Codec


class Hole(Exception):
    """Records are missing between the view's position and what the log delivered."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a view is in a partition: the next offset it takes, and the term of the last barrier before it."""

    next_offset: int = 0
    term: int = 0


@dataclass(frozen=True, slots=True)
class NewEvents:
    """The events that a view is to fold, where it is afterwards, and what they were taken from.

    `records` are those that were new to the view; `deposed` of them are of a deposed term.
    """

    events: Sequence[RecordedEvent]
    after: Place
    records: int
    deposed: int = 0


def new_events(
    codec: Codec, handles: frozenset[type], partition: int, place: Place, records: Sequence[KafkaRecord]
) -> NewEvents:
    """What of `records`, consecutive ones of `partition`, comes after `place`, as far as the view `handles` it.

    Raises Hole, or EventFailed at a record that is no event.
    """
    fresh = [record for record in records if record.offset >= place.next_offset]
    if not fresh:
        return NewEvents((), place, 0)
    _require_dense(partition, place.next_offset, fresh)
    terms = TermFilter(place.term)
    admitted = [event for event in (_read(codec, partition, record) for record in fresh) if terms.admits(event)]
    events = [recorded for recorded in admitted if type(recorded.event) in handles]
    return NewEvents(events, Place(fresh[-1].offset + 1, terms.term), len(fresh), terms.dropped)


def _require_dense(partition: int, next_offset: int, records: Sequence[KafkaRecord]) -> None:
    # order.events has no transactions and is never compacted, so each offset is a record. Holding to that
    # also shows what the client hides: it goes on elsewhere, silently, when its offset is not in the log.
    expected = range(next_offset, next_offset + len(records))
    for offset, record in zip(expected, records, strict=True):
        if record.offset != offset:
            raise Hole(f"partition {partition}: the view is at offset {offset}, the log went on at {record.offset}")


def _read(codec: Codec, partition: int, record: KafkaRecord) -> RecordedEvent:
    try:
        return read_record(codec, partition, record)
    except ValueError as error:  # DecodeError is one
        raise EventFailed(Position(partition, record.offset), f"is no event of ours: {error}") from error
