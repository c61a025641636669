"""Records as a consumer delivers them, without a broker."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from eventlog.recorded import Header, Metadata, to_headers
from schemas.codec import Codec
from schemas.events import LogEvent, WriterElected

_START = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


@dataclass
class Record:
    """The part of a consumer's record that readers use."""

    offset: int
    value: bytes
    headers: Iterable[Header]
    key: bytes | None = None
    timestamp: int = 1_772_357_400_000


def record(codec: Codec, offset: int, event: LogEvent, version: int = 1, term: int = 1) -> Record:
    """The record of `event` at `offset`, which happened `offset` seconds after the start of all."""
    subject = str(getattr(event, "order_id", "writer"))
    at = _START + timedelta(seconds=offset)
    about = Metadata(f"event-{offset}", at, subject, version, term, f"command-{offset}", "", "")
    return Record(offset, codec.encode(event), to_headers(event, about))


def records(codec: Codec, events: Iterable[LogEvent], term: int = 1) -> list[Record]:
    """The records of a partition that begins with `events`, each order's versions counted from 1."""
    versions: dict[str, int] = {}
    made = []
    for offset, event in enumerate(events):
        version = 0
        if not isinstance(event, WriterElected):
            version = versions[str(event.order_id)] = versions.get(str(event.order_id), 0) + 1
        made.append(record(codec, offset, event, version, term))
    return made
