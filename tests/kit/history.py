"""What must hold between what clients were told and what the log says, whatever was killed in between.

`violations` finds what a fault test looks for: an acknowledged command that is lost, doubled or moved, an order whose
versions have a gap or a repeat, events that contradict the state machine. It shares no code with the writer.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from eventlog.recorded import RecordedEvent
from schemas.events import WriterElected

# Which events an order takes in which status, and the status after it; None keeps the status.
_FROM: dict[str, tuple[set[str], str | None]] = {
    "OrderPlaced": ({""}, "open"),
    "LineAdded": ({"open"}, None),
    "LineQuantityChanged": ({"open"}, None),
    "LineRemoved": ({"open"}, None),
    "ShippingAddressChanged": ({"open"}, None),
    "OrderConfirmed": ({"open"}, "confirmed"),
    "OrderRejected": ({"open"}, "rejected"),
    "PaymentRecorded": ({"confirmed"}, None),
    "OrderShipped": ({"confirmed"}, "shipped"),
    "OrderDelivered": ({"shipped"}, "delivered"),
    "OrderCancelled": ({"open", "confirmed"}, "cancelled"),
    "LinesReturned": ({"delivered"}, None),
    "PaymentRefunded": ({"cancelled", "delivered"}, None),
}


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One command that a client was told is in the log; `sent` and `answered` are the client's clock in seconds."""

    key: str
    order_id: str
    version: int
    position: str
    sent: float
    answered: float


@dataclass(slots=True)
class _Found:
    """The events of one command, as the log has them."""

    positions: list[str] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)


def violations(log: Iterable[RecordedEvent], acknowledged: Sequence[Acknowledged]) -> list[str]:
    """Every contradiction, a sentence each; none when all is well. `log` is in offset order within each partition."""
    counted = list(_counted(log))
    return [*_of_orders(counted), *_of_commands(counted, acknowledged), *_of_time(acknowledged)]


def _counted(log: Iterable[RecordedEvent]) -> Iterator[RecordedEvent]:
    """The events that count: a reader drops those of a term that was over (docs/adr/0003-terms.md)."""
    terms: dict[int, int] = defaultdict(int)
    for one in log:
        partition, term = one.position.partition, one.metadata.term
        if isinstance(one.event, WriterElected):
            terms[partition] = max(term, terms[partition])
        elif term >= terms[partition]:
            yield one


def _of_orders(counted: Iterable[RecordedEvent]) -> Iterator[str]:
    versions: dict[str, int] = defaultdict(int)
    statuses: dict[str, str] = defaultdict(str)
    partitions: dict[str, int] = {}
    for one in counted:
        order, version, name = one.metadata.subject, one.metadata.version, type(one.event).__name__
        if partitions.setdefault(order, one.position.partition) != one.position.partition:
            yield f"order {order} is in two partitions, at {one.position}"
        if version != versions[order] + 1:
            yield f"order {order} goes from version {versions[order]} to {version} at {one.position}"
        allowed, after = _FROM[name]
        if statuses[order] not in allowed:
            yield f"order {order} has {name} while {statuses[order] or 'not placed'} at {one.position}"
        versions[order], statuses[order] = version, after or statuses[order]


def _of_commands(counted: Iterable[RecordedEvent], acknowledged: Iterable[Acknowledged]) -> Iterator[str]:
    commands: dict[tuple[str, str], _Found] = defaultdict(_Found)
    for one in counted:
        found = commands[one.metadata.subject, one.metadata.command_id]
        found.positions.append(str(one.position))
        found.versions.append(one.metadata.version)
    for (order, key), found in commands.items():
        if found.versions != list(range(found.versions[0], found.versions[0] + len(found.versions))):
            yield f"command {key} of order {order} was applied twice, as versions {found.versions}"
    for told in acknowledged:
        found = commands.get((told.order_id, told.key), _Found())
        if not found.versions:
            yield f"command {told.key} of order {told.order_id} was acknowledged and is not in the log"
        elif (found.versions[-1], found.positions[-1]) != (told.version, told.position):
            seen = f"version {found.versions[-1]} at {found.positions[-1]}"
            yield f"command {told.key} was acknowledged as version {told.version} at {told.position} and is {seen}"


def _of_time(acknowledged: Iterable[Acknowledged]) -> Iterator[str]:
    """A command that was sent after another was answered comes after it in the order's history."""
    by_order: dict[str, list[Acknowledged]] = defaultdict(list)
    for told in acknowledged:
        by_order[told.order_id].append(told)
    for order, history in by_order.items():
        for later in history:
            before = max((one.version for one in history if one.answered < later.sent), default=0)
            if later.version <= before:
                yield f"order {order} got version {later.version} for a command sent after {before} was answered"
