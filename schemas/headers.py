"""The headers of the topics' records as data, for the AsyncAPI document and docs/reference/topics.md.

What writes them is eventlog/recorded.py, eventlog/messages.py and, for dead letters, who parks; the tests hold them to
this. `ce_…` are those of CloudEvents' Kafka protocol binding in binary mode, the others are ours.
"""

from typing import NamedTuple

from schemas.topics import Pattern, Topic


class Header(NamedTuple):
    """One header; its value is UTF-8 text. One that is not `required` may be left out."""

    name: str
    meaning: str
    required: bool = True


_ID = Header("ce_id", "The event's id: the same whenever it is delivered again, and of no other event.")
_ENVELOPE = (
    Header("ce_specversion", "Version of CloudEvents: 1.0."),
    Header("ce_source", "The service that wrote it, as orderlog/…"),
    Header("ce_time", "When it happened: RFC 3339, UTC, microseconds."),
    Header("content-type", "application/avro"),
)
_TRACES = (
    Header("correlation_id", "What began it all.", required=False),
    Header("causation_id", "What it follows from.", required=False),
    Header("traceparent", "W3C Trace Context of what caused it.", required=False),
)

LOG = (
    _ID,
    Header("ce_type", "The event's type, which is its schema's name."),
    *_ENVELOPE,
    Header("ce_subject", "The order's id; of a barrier partition/<number>."),
    Header("version", "The order's version after the event, from 1; 0 for a barrier."),
    Header("term", "The writer's term: an event of an older term than the last barrier before it does not count."),
    Header("command_id", "The command that caused it: its Idempotency-Key."),
    Header("fingerprint", "Digest of the request behind command_id.", required=False),
    *_TRACES,
)
PUBLIC = (
    _ID,
    Header("ce_type", "The name of the topic, without prefix."),
    *_ENVELOPE,
    Header("ce_subject", "The order's id."),
    Header("version", "The order's version after what happened, from 1."),
    *_TRACES,
)
DEAD_LETTERS = (
    Header("parked_by", "Who could not handle the record."),
    Header("parked_reason", "Why."),
    Header(
        "parked_position",
        "Where the record stands: partition:offset of the log, topic:partition:offset of a subscriber's topics.",
        required=False,
    ),
    Header("parked_attempts", "How often it was tried.", required=False),
    Header("parked_generation", "Of a projection: in which generation of its view.", required=False),
)

NAMES = {"log": LOG, "public": PUBLIC, "dead-letters": DEAD_LETTERS}


def headers_of(topic: Topic) -> str:
    """Which of `NAMES` the topic's records have; empty when they have none."""
    if any(name.startswith("public.") for name in topic.schemas):
        return "public"
    return {Pattern.SYSTEM_OF_RECORD: "log", Pattern.DEAD_LETTERS: "dead-letters"}.get(topic.pattern, "")
