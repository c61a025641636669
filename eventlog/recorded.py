"""The envelope: an event as it stands in the log, with where, when and why.

Headers follow the CloudEvents Kafka protocol binding, binary mode (`ce_…`); `command_id`,
`correlation_id`, `causation_id`, `version`, `term`, `fingerprint` and `traceparent` are ours.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Protocol

from msgspec import Struct

from eventlog.positions import Position
from schemas.codec import Codec
from schemas.events import LogEvent, WriterElected

Header = tuple[str, bytes]


class KafkaRecord(Protocol):
    """What this module reads of a consumer's record; aiokafka's and Faust's both fit."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    headers: Iterable[Header]


class Metadata(Struct, frozen=True, gc=False):
    """What is known of an event besides its payload.

    `time` is when it happened (UTC, microseconds). `version` is the order's after this event, from 1;
    0 for a barrier. `term` is the writer's. `fingerprint` is of the request behind `command_id`, so
    that the same key with another body can be told from a repeat, by any later writer.
    """

    event_id: str
    time: datetime
    subject: str
    version: int
    term: int
    command_id: str
    correlation_id: str
    causation_id: str
    fingerprint: str = ""
    traceparent: str = ""


class RecordedEvent(Struct, frozen=True, gc=False):
    """An event with its metadata and its place in the log; `recorded_at` is the record's timestamp, when it came in."""

    position: Position
    recorded_at: datetime
    metadata: Metadata
    event: LogEvent


SPECVERSION: Header = ("ce_specversion", b"1.0")
_SOURCE: Header = ("ce_source", b"orderlog/command-api")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
CONTENT_TYPE: Header = ("content-type", b"application/avro")


def to_headers(event: LogEvent, metadata: Metadata) -> list[Header]:
    """The Kafka headers of an event; empty optional values are left out."""
    headers = [
        SPECVERSION,
        ("ce_id", metadata.event_id.encode()),
        ("ce_type", type(event).__name__.encode()),
        _SOURCE,
        ("ce_time", metadata.time.isoformat("T", "microseconds").encode()),
        ("ce_subject", metadata.subject.encode()),
        CONTENT_TYPE,
        ("version", b"%d" % metadata.version),
        ("term", b"%d" % metadata.term),
        ("command_id", metadata.command_id.encode()),
    ]
    if metadata.correlation_id:
        headers.append(("correlation_id", metadata.correlation_id.encode()))
    if metadata.causation_id:
        headers.append(("causation_id", metadata.causation_id.encode()))
    if metadata.fingerprint:
        headers.append(("fingerprint", metadata.fingerprint.encode()))
    if metadata.traceparent:
        headers.append(("traceparent", metadata.traceparent.encode()))
    return headers


def from_headers(headers: Iterable[Header]) -> Metadata:
    """Read what `to_headers` wrote. Raises ValueError that names a missing or unreadable header."""
    found = dict(headers)
    try:
        return Metadata(
            found["ce_id"].decode(),
            datetime.fromisoformat(found["ce_time"].decode()),
            found["ce_subject"].decode(),
            int(found["version"]),
            int(found["term"]),
            found["command_id"].decode(),
            found.get("correlation_id", b"").decode(),
            found.get("causation_id", b"").decode(),
            found.get("fingerprint", b"").decode(),
            traceparent_in(found),
        )
    except KeyError as missing:
        raise ValueError(f"the record lacks the header {missing.args[0]}") from None


def traceparent_in(headers: Mapping[str, bytes]) -> str:
    """The W3C trace context among `headers`; empty when there is none or it is malformed: that is no event's fault."""
    return sound_traceparent(headers.get("traceparent") or b"")


def sound_traceparent(given: bytes) -> str:
    """`given` if it is a W3C trace context, else an empty one."""
    return given.decode() if _TRACEPARENT.fullmatch(given) else ""


def read_record(codec: Codec, partition: int, record: KafkaRecord) -> RecordedEvent:
    """Decode one Kafka record of order.events. Raises ValueError when it is not one of ours."""
    return RecordedEvent(
        position=Position(partition, record.offset),
        recorded_at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
        metadata=from_headers(record.headers),
        event=codec.decode(record.value),
    )


class Fact(Struct, frozen=True, gc=False):
    """What sums are made of: a recorded event's place in its partition, when it happened, and it without personal data.

    Reading only this takes half the time of reading everything.
    """

    offset: int
    time: datetime
    version: int
    term: int
    event: LogEvent


def read_fact(codec: Codec, record: KafkaRecord) -> Fact:
    """Decode what a Fact has of one Kafka record of order.events. Raises ValueError when it is not one of ours."""
    headers = tuple(record.headers)
    try:
        # Where `to_headers` puts them.
        (time_name, time), (version_name, version), (term_name, term) = headers[4], headers[7], headers[8]
    except IndexError:
        time_name = version_name = term_name = ""
    if time_name != "ce_time" or version_name != "version" or term_name != "term":
        time, version, term = _found(headers)
    at = datetime.fromisoformat(time.decode())
    return Fact(record.offset, at, int(version), int(term), codec.decode(record.value, personal=False))


def _found(headers: Iterable[Header]) -> tuple[bytes, bytes, bytes]:
    found = dict(headers)
    try:
        return found["ce_time"], found["version"], found["term"]
    except KeyError as missing:
        raise ValueError(f"the record lacks the header {missing.args[0]}") from None


class TermFilter:
    """Drops what a deposed writer managed to append after its successor's barrier.

    The broker's fence stops that but for producer ids it has forgotten, so every reader holds to it
    by itself: an event counts only if its term is that of the last barrier before it.
    `dropped` counts what did not. One filter per partition, records in offset order.
    """

    def __init__(self, term: int = 0) -> None:
        self.term = term
        self.dropped = 0

    def admits(self, recorded: RecordedEvent) -> bool:
        """Whether the record counts. A barrier does when its term is new, and then raises the term.

        Of two barriers with one term the first has it; the other's writer must stand again.
        """
        return self.admits_event(recorded.metadata.term, recorded.event)

    def admits_event(self, term: int, event: LogEvent) -> bool:
        """As `admits`, of an event that carries `term`."""
        barrier = type(event) is WriterElected
        if term < self.term or (barrier and term == self.term):
            self.dropped += 1
            return False
        if barrier:
            self.term = term
        return True
