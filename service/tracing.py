"""Traces by OpenTelemetry, off unless ORDERLOG_TRACES_URL says where spans go. See docs/adr/0032-traces.md.

A trace is carried as a W3C `traceparent` in HTTP requests, in the headers of records, in rows of the database, and from
function to function: never in the background, as a batch has commands of many traces. Only an HTTP request may begin a
trace; everything else follows one that is sampled, or has no span.

Names are those of OpenTelemetry's semantic conventions for HTTP and for messaging with Kafka.
"""

import logging
import os
import socket
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from eventlog.messages import Message
from eventlog.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

Attributes = Mapping[str, str | int]

HEADER = "traceparent"
# A full queue is four requests, and a process has ten seconds to stop (local_stack/process.py).
_EXPORT_S = 2.0
_FLAGS, _SAMPLED = slice(53, 55), 1  # where version 00 of the header has them
_W3C = TraceContextTextMapPropagator()


class _On(NamedTuple):
    """What spans are made by; `topic_prefix` is what the topics' names begin with in the broker."""

    provider: "TracerProvider"
    tracer: Tracer
    topic_prefix: str


_on: _On | None = None


def configure(settings: Settings, service: str) -> None:
    """Have this process, called `service`, send its spans where the settings say, if they do."""
    if not settings.traces_url:
        return
    # Half a second of imports, which nobody pays for who wants no traces.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    instance = f"{socket.gethostname()}-{os.getpid()}"
    told = {"service.namespace": "orderlog", "service.name": service, "service.instance.id": instance}
    # One line for each request that was given up is enough: not one for each attempt, with the library's own reasons.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.ERROR)
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.traces_share)), resource=Resource.create(told)
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(settings.traces_url, timeout=_EXPORT_S)))
    install(provider, settings.topic_prefix)


def install(provider: "TracerProvider | None", topic_prefix: str = "") -> None:
    """Have spans made by `provider`; none is made with None."""
    global _on
    _on = _On(provider, provider.get_tracer("orderlog"), topic_prefix) if provider else None


def flush() -> None:
    """Send what is not sent yet, before this process becomes another program. At its ordinary end it happens anyway."""
    if _on:
        _on.provider.force_flush()


def is_on() -> bool:
    """Whether spans are made. What would only be done for them is not done when not."""
    return _on is not None


def may_be_sampled(traceparent: str) -> bool:
    """Whether it is worth a closer look: most are empty or not sampled."""
    try:
        return bool(int(traceparent[_FLAGS], 16) & _SAMPLED)
    except ValueError:
        return False


def begin(name: str, kind: SpanKind, parent: str, attributes: Attributes) -> Span:
    """A span that follows the traceparent `parent`, or begins a trace when that is empty or malformed; while on."""
    assert _on
    return _on.tracer.start_span(name, _context(parent), kind, attributes)


def follow(name: str, kind: SpanKind, parent: str, attributes: Attributes) -> Span | None:
    """A span that follows `parent`; None when that is empty, malformed or not sampled, or traces are off."""
    if _on is None or not may_be_sampled(parent):
        return None
    context = _context(parent)
    if not get_current_span(context).get_span_context().is_valid:
        return None
    return _on.tracer.start_span(name, context, kind, attributes)


def traceparent_of(span: Span) -> str:
    """What whatever follows from `span` is given as its parent."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, set_span_in_context(span, Context()))
    return carrier[HEADER]


def failed(span: Span, why: str) -> None:
    """Mark `span` as that of something that failed; `why` without personal data."""
    span.set_status(StatusCode.ERROR, why)
    span.set_attribute("error.type", why)


class Record(NamedTuple):
    """A Kafka record as spans tell of it; `topic` is its name in the catalogue, `key` the order's id."""

    topic: str
    key: str
    partition: int | None = None
    offset: int | None = None


class Hops:
    """Spans of records that are sent, or processed, together: begun one by one, ended at once when it is done.

    What is never ended was not done, and leaves no span. `group` is the consumer group that processes them.
    """

    def __init__(self, operation: Literal["send", "process"], group: str = "") -> None:
        self._operation = operation
        self._group = group
        self._spans: list[Span] = []

    def begin(self, record: Record, traceparent: str) -> str:
        """What goes on from here: the traceparent of a new span that follows `traceparent`, or this as it is."""
        span = self.span(record, traceparent)
        return traceparent_of(span) if span else traceparent

    def span(self, record: Record, traceparent: str) -> Span | None:
        """A span that follows `traceparent` and ends with the others; None as with `follow`."""
        if _on is None or not may_be_sampled(traceparent):
            return None
        topic, sends = _on.topic_prefix + record.topic, self._operation == "send"
        attributes: dict[str, str | int] = {
            "messaging.system": "kafka",
            "messaging.operation.name": self._operation,
            "messaging.operation.type": self._operation,
            "messaging.destination.name": topic,
            "messaging.kafka.message.key": record.key,
        }
        if self._group:
            attributes["messaging.consumer.group.name"] = self._group
        attributes |= placed(record.partition, record.offset)
        kind = SpanKind.PRODUCER if sends else SpanKind.CONSUMER
        span = follow(f"{self._operation} {topic}", kind, traceparent, attributes)
        if span:
            self._spans.append(span)
        return span

    def carried(self, messages: Iterable[Message]) -> list[Message]:
        """`messages`, each with the traceparent that goes on from here."""
        if _on is None:
            return list(messages)
        return [
            one._replace(traceparent=self.begin(Record(one.topic, str(one.event.order_id)), one.traceparent))
            for one in messages
        ]

    def end(self) -> None:
        """It is done."""
        for span in self._spans:
            span.end()
        self._spans = []


def placed(partition: int | None, offset: int | None) -> dict[str, str | int]:
    """Where a record is in its topic, as attributes."""
    if partition is None or offset is None:
        return {}
    return {"messaging.destination.partition.id": str(partition), "messaging.kafka.offset": offset}


def _context(traceparent: str) -> Context:
    """The context that it tells of; an empty one when it is malformed."""
    return _W3C.extract({HEADER: traceparent}, Context()) if traceparent else Context()
