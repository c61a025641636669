"""What a subscriber has taken in, and what it answered: each event counts once, however often it is delivered.

A row is written in the transaction that does what the event asks for. An event may also stand in its topic twice, when
its publisher repeated it: only the record that was taken in has its answer published again, should that be in doubt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from eventlog.messages import Message
from schemas import public_events
from service.database import Connection
from subscribers.deliveries import Delivery, Place
from subscribers.failures import TakenMeanwhile

_KNOWN = """
    SELECT event_id, topic, partition, "offset", answer FROM subscribers.inbox
    WHERE subscriber = %s AND event_id = ANY(%s)
"""
_ENTER = """
    INSERT INTO subscribers.inbox (subscriber, event_id, topic, partition, "offset", answer, unpublished)
    SELECT %s, new.*, %s AND new.answer IS NOT NULL
    FROM jsonb_to_recordset(%s::jsonb)
        AS new (event_id text, topic text, partition int, "offset" bigint, answer jsonb)
    ON CONFLICT DO NOTHING
"""
_UNPUBLISHED = """
    SELECT event_id, answer FROM subscribers.inbox
    WHERE subscriber = %s AND unpublished ORDER BY taken_at LIMIT %s FOR UPDATE SKIP LOCKED
"""
_PUBLISHED = "UPDATE subscribers.inbox SET unpublished = false WHERE subscriber = %s AND event_id = ANY(%s)"
_PRUNE = """
    DELETE FROM subscribers.inbox WHERE subscriber = %(name)s AND event_id IN (
        SELECT event_id FROM subscribers.inbox
        WHERE subscriber = %(name)s AND taken_at < now() - %(keep)s * interval '1 second' AND NOT unpublished
        LIMIT %(most)s)
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """A delivery that was taken in, and its answer."""

    delivery: Delivery
    answer: Message | None


async def known(
    connection: Connection, subscriber: str, deliveries: Sequence[Delivery]
) -> Mapping[str, tuple[Place, Message | None]]:
    """{event id: where the record was that was taken in, its answer} of those events that were."""
    ids = [delivery.event_id for delivery in deliveries]
    rows = await (await connection.execute(_KNOWN, [subscriber, ids])).fetchall()
    return {event_id: ((topic, partition, offset), _read(told)) for event_id, topic, partition, offset, told in rows}


async def enter(connection: Connection, subscriber: str, taken: Sequence[Taken], *, unpublished: bool = False) -> None:
    """Note `taken`; its answers as still to be published, if so. Raises TakenMeanwhile."""
    rows = [_row(one) for one in taken]
    cursor = await connection.execute(_ENTER, [subscriber, unpublished, msgspec.json.encode(rows).decode()])
    if cursor.rowcount != len(taken):
        raise TakenMeanwhile("another process of this subscriber takes the same events in")


async def unpublished(connection: Connection, subscriber: str, most: int) -> dict[str, Message]:
    """{event id: answer} of at most `most` events whose answers are still to be published; locked until it is noted."""
    rows = await (await connection.execute(_UNPUBLISHED, [subscriber, most])).fetchall()
    return {event_id: msgspec.convert(answer, _Stored).message() for event_id, answer in rows}


async def note_published(connection: Connection, subscriber: str, event_ids: Sequence[str]) -> None:
    """The answers to these events are published."""
    await connection.execute(_PUBLISHED, [subscriber, list(event_ids)])


async def prune(connection: Connection, subscriber: str, keep_s: float, most: int) -> int:
    """Forget at most `most` events that were taken in over `keep_s` seconds ago; how many there were."""
    values = {"name": subscriber, "keep": keep_s, "most": most}
    return (await connection.execute(_PRUNE, values)).rowcount


class _Stored(msgspec.Struct, frozen=True):
    """A message as the column `answer` has it."""

    kind: str
    event_id: str
    topic: str
    time: datetime
    event: dict[str, Any]
    correlation_id: str
    causation_id: str
    traceparent: str

    def message(self) -> Message:
        """The message again."""
        event = msgspec.convert(self.event, getattr(public_events, self.kind))
        about = (self.correlation_id, self.causation_id, self.traceparent)
        return Message(self.event_id, self.topic, self.time, event, *about)


def _row(taken: Taken) -> Mapping[str, object]:
    topic, partition, offset = taken.delivery.place
    place = {"topic": topic, "partition": partition, "offset": offset}
    return {"event_id": taken.delivery.event_id, **place, "answer": taken.answer and _written(taken.answer)}


def _written(message: Message) -> _Stored:
    fields = message._asdict() | {"event": msgspec.to_builtins(message.event)}
    return _Stored(type(message.event).__name__, **fields)


def _read(answer: Any) -> Message | None:
    return None if answer is None else msgspec.convert(answer, _Stored).message()
