"""What a command API tells Prometheus. Counting a command costs about a microsecond: docs/adr/0031-metrics.md."""

import asyncio

from aiokafka.errors import KafkaError
from prometheus_client import Counter

from command_side.domain.rejections import Rejection
from command_side.order_store import StoreUnusable
from command_side.outcomes import (
    Accepted,
    CommandRequest,
    KeyReused,
    NotServing,
    Unanswered,
    Unavailable,
    VersionConflict,
)
from eventlog.fencing import Fenced, OutcomeUnknown
from service.metrics import Exposition, Family

_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_BOUNDS_COMMANDS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
# The reason of a rejection is its type; all are the slugs that clients are told.
_OUTCOMES: dict[type, tuple[str, str]] = {
    Accepted: ("accepted", ""),
    VersionConflict: ("rejected", "version-conflict"),
    KeyReused: ("rejected", "idempotency-key-reused"),
    Unavailable: ("unavailable", "unavailable"),
    Unanswered: ("unknown", "outcome-unknown"),
    asyncio.CancelledError: ("abandoned", ""),
}


class CommandMetrics:
    """The metrics of one command API's process."""

    def __init__(self) -> None:
        self.exposition = Exposition()
        make = Family(self.exposition, "orderlog_command_")
        self._outcomes = make.counter("outcomes", "Commands, by what came of them", "command", "outcome", "reason")
        self._known: dict[tuple[type, object], Counter] = {}
        self.append_duration = make.histogram(
            "append_duration_seconds", "Time until Kafka acknowledged a batch of events", _BOUNDS_S
        ).child()
        self.batch_commands = make.histogram(
            "batch_commands", "Commands decided as one batch of a partition", _BOUNDS_COMMANDS
        ).child()
        self.events = make.counter("events_appended", "Events that are in the log").child()
        self.elections = make.counter("elections", "Times this process was elected a partition's writer").child()
        self._step_downs = make.counter("step_downs", "Times a writer stopped serving its partition", "cause")
        for cause in ("fenced", "kafka", "log_moved_on", "order_store", "outcome_unknown"):
            self._step_downs.child(cause=cause)
        self.has_owner = make.gauge("partition_has_owner", "1 if commands are taken, here or elsewhere", "partition")
        self.term = make.gauge("partition_term", "Term of the writer, of partitions written here", "partition")
        self.queued = make.gauge("queued_commands", "Commands that wait, of partitions written here", "partition")
        self.in_flight = make.gauge("commands_in_flight", "Commands under way")
        self.requests_inside = make.gauge("requests_inside", "Requests that are served now")
        self.requests_waiting = make.gauge("requests_waiting", "Requests that wait for their turn")
        self.requests_refused = make.counter("requests_refused", "Requests whose turn did not come in time").child()

    def ended(self, request: CommandRequest, came: object) -> None:
        """Count what came of a command: its outcome, an exception, or the answer of whom it was sent on to.

        NotServing is not the end of it: whoever gets that looks for another owner.
        """
        if isinstance(came, NotServing):
            return
        kind = type(request.command)
        key = came.type if type(came) is Rejection else type(came)
        counter = self._known.get((kind, key))
        if counter is None:
            outcome, reason = _outcome(came)
            counter = self._outcomes.child(command=kind.__name__, outcome=outcome, reason=reason)
            self._known[kind, key] = counter
        counter.inc()

    def stepped_down(self, cause: Exception) -> None:
        """Count that a writer stopped serving."""
        self._step_downs.add(cause=_cause(cause))


def _outcome(came: object) -> tuple[str, str]:
    if isinstance(came, Rejection):
        return "rejected", came.type
    return _OUTCOMES.get(type(came)) or ("failed" if isinstance(came, BaseException) else "forwarded", "")


def _cause(cause: Exception) -> str:
    match cause:
        case Fenced():
            return "fenced"
        case OutcomeUnknown() | TimeoutError():
            return "outcome_unknown"
        case StoreUnusable():
            return "order_store"
        case KafkaError():
            return "kafka"
        case _:
            return "log_moved_on"
