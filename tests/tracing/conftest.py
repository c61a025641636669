"""Traces of a test, kept in memory."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from service import tracing


@pytest.fixture
def share() -> float:
    """The share of requests that is traced."""
    return 1.0


@pytest.fixture
def spans(share: float) -> Iterator[InMemorySpanExporter]:
    """What ended, while traces are on."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(share)))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.install(provider, "t.")
    yield exporter
    tracing.install(None)
