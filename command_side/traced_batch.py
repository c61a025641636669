"""A batch whose commands have spans: each event follows from the append that brought it into the log."""

from dataclasses import replace

from opentelemetry.trace import Span

from command_side.group_commit import Batch
from command_side.outcomes import Accepted, CommandRequest, Outcome
from command_side.partition_state import PartitionState
from schemas.codec import Codec
from schemas.topics import ORDER_EVENTS
from service import tracing
from service.tracing import Hops, Record


def batch_class() -> type[Batch]:
    """What a writer makes its batches of."""
    return TracedBatch if tracing.is_on() else Batch


class TracedBatch(Batch):
    """See Batch. The span of a command lasts from when it was decided to when its events were acknowledged.

    A command without events, refused or repeated, has none; nor has a batch that did not get into the log.
    """

    def __init__(self, partition: int, state: PartitionState, codec: Codec, term: int) -> None:
        Batch.__init__(self, partition, state, codec, term)
        self._sends: list[tuple[Span, Accepted]] = []

    def decide(self, request: CommandRequest) -> Outcome:
        """See Batch."""
        if not tracing.may_be_sampled(request.traceparent):
            return Batch.decide(self, request)
        span = Hops("send").span(Record(ORDER_EVENTS.name, str(request.command.order_id)), request.traceparent)
        if span is None:
            return Batch.decide(self, request)
        before = len(self.drafts)
        outcome = Batch.decide(self, replace(request, traceparent=tracing.traceparent_of(span)))
        if isinstance(outcome, Accepted) and len(self.drafts) > before:
            self._sends.append((span, outcome))
        return outcome

    def commit(self) -> None:
        """See Batch."""
        Batch.commit(self)
        for span, accepted in self._sends:
            span.set_attributes(tracing.placed(accepted.position.partition, accepted.position.offset))
            span.end()
