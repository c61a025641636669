"""The envelope of a public event: what a subscriber knows of it besides its payload.

Headers follow the CloudEvents Kafka protocol binding, binary mode (`ce_…`), like those of the log; `version`,
`correlation_id`, `causation_id` and `traceparent` are ours. `ce_type` is the topic's name in the catalogue.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from eventlog.recorded import CONTENT_TYPE, SPECVERSION, Header, traceparent_in
from schemas.public_events import PublicEvent


class Message(NamedTuple):
    """One public event. `event_id` is the same whenever it is delivered, and no other event has it.

    `topic` is its name in the catalogue. `time` is when it happened (UTC, microseconds). `causation_id` is the id of
    the event that it follows from, `correlation_id` what began it all.
    """

    event_id: str
    topic: str
    time: datetime
    event: PublicEvent
    correlation_id: str = ""
    causation_id: str = ""
    traceparent: str = ""


def message_headers(message: Message, source: str) -> list[Header]:
    """The Kafka headers of a message from the service `source`; empty optional values are left out."""
    headers = [
        SPECVERSION,
        ("ce_id", message.event_id.encode()),
        ("ce_type", message.topic.encode()),
        ("ce_source", f"orderlog/{source}".encode()),
        ("ce_time", message.time.isoformat("T", "microseconds").encode()),
        ("ce_subject", str(message.event.order_id).encode()),
        CONTENT_TYPE,
        ("version", b"%d" % message.event.order_version),
    ]
    for name in ("correlation_id", "causation_id", "traceparent"):
        if value := getattr(message, name):
            headers.append((name, value.encode()))
    return headers


def read_message(headers: Iterable[Header], event: PublicEvent) -> Message:
    """The message that `event` came in. Raises ValueError that names a missing or unreadable header."""
    found = dict(headers)
    try:
        return Message(
            event_id=found["ce_id"].decode(),
            topic=found["ce_type"].decode(),
            time=datetime.fromisoformat(found["ce_time"].decode()),
            event=event,
            correlation_id=found.get("correlation_id", b"").decode(),
            causation_id=found.get("causation_id", b"").decode(),
            traceparent=traceparent_in(found),
        )
    except KeyError as missing:
        raise ValueError(f"the record lacks the header {missing.args[0]}") from None
