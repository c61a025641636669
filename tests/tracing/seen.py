"""Traceparents for tests, and spans as tests ask for them."""

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
MALFORMED = [
    "nonsense",
    "\xff",
    "00-01",
    SAMPLED.upper(),
    f"ff-{TRACE}-{PARENT}-01",
    f"00-{'0' * 32}-{PARENT}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"00-{TRACE}-{PARENT}-01-more",
    f"00-{TRACE}-{PARENT}-0x",
    f"00-{TRACE[:-1]}g-{PARENT}-01",
]


def traceparent(span: ReadableSpan) -> str:
    """What follows from the span carries."""
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-{span.context.trace_flags:02x}"


def is_sampled(given: str) -> bool:
    """Whether its lowest flag says so."""
    return bool(int(given[-2:], 16) & 1)


def parent(span: ReadableSpan) -> str | None:
    """The traceparent it follows; None if it began its trace."""
    if span.parent is None:
        return None
    assert span.parent.trace_id == span.context.trace_id
    return f"00-{span.parent.trace_id:032x}-{span.parent.span_id:016x}-{span.parent.trace_flags:02x}"


def only(spans: InMemorySpanExporter) -> ReadableSpan:
    """The one span there is."""
    (span,) = spans.get_finished_spans()
    return span
