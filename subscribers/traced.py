"""Spans of what a subscriber takes in and of what it does to the outside; of sampled traces only."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from opentelemetry.trace import Span, SpanKind

from service import tracing
from service.tracing import Hops, Record
from subscribers.deliveries import Opened, Place
from subscribers.outbox import Done, Outcome, Perform, Task
from subscribers.parking import SetAside


class Taking:
    """Spans of a batch that `group` takes in, over all attempts at it."""

    def __init__(self, group: str) -> None:
        self._hops = Hops("process", group)
        self._spans: dict[Place, Span | None] = {}

    def begin(self, opened: Sequence[Opened]) -> Sequence[Opened]:
        """`opened`, their messages with the traceparents that go on from here."""
        return [self._begun(one) for one in opened] if tracing.is_on() else opened

    def end(self, parked: Iterable[SetAside]) -> None:
        """They are taken in, but for those that were set aside."""
        for one in parked:
            if span := self._spans.get(one.delivery.place):
                tracing.failed(span, "parked")
        self._hops.end()

    def _begun(self, one: Opened) -> Opened:
        if one.message is None:
            return one
        topic, partition, offset = place = one.delivery.place
        if place not in self._spans:
            record = Record(topic, str(one.message.event.order_id), partition, offset)
            self._spans[place] = self._hops.span(record, one.message.traceparent)
        span = self._spans[place]
        if span is None:
            return one
        return replace(one, message=one.message._replace(traceparent=tracing.traceparent_of(span)))


def traced(perform: Perform, name: str) -> Perform:
    """`perform`, each task with a span called `name` if traces are on; its traceparent is then the span's."""
    if not tracing.is_on():
        return perform

    async def performed(task: Task) -> Outcome:
        about: dict[str, str | int] = {"orderlog.order_id": str(task.order_id), "orderlog.task.attempts": task.attempts}
        span = tracing.follow(name, SpanKind.CLIENT, task.what.get(tracing.HEADER, ""), about)
        if span is None:
            return await perform(task)
        try:
            what = {**task.what, tracing.HEADER: tracing.traceparent_of(span)}
            outcome = await perform(task._replace(what=what))
            if not isinstance(outcome, Done):
                # Not its reason: a mail server's answer may have somebody's address in it.
                tracing.failed(span, type(outcome).__name__)
            return outcome
        except Exception as error:
            tracing.failed(span, type(error).__name__)
            raise
        finally:
            span.end()

    return performed
