"""What a partition's writer knows: the fold of its partition, and the answers it gave."""

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from command_side.domain.order import Order, evolve
from eventlog.recorded import RecordedEvent, TermFilter
from schemas.events import OrderEvent, WriterElected


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer a command got that was recorded at `time`, kept to give a repeat of its key the same one."""

    fingerprint: str
    version: int
    offset: int
    time: datetime


ReceiptKey = tuple[UUID, str]


@dataclass(slots=True)
class PartitionState:
    """The fold of one partition from offset 0 up to, not including, `next_offset`.

    `owner` is the last barrier seen. Receipts are kept for commands whose client gave a key, oldest first.
    """

    orders: dict[UUID, Order] = field(default_factory=dict)
    receipts: OrderedDict[ReceiptKey, Receipt] = field(default_factory=OrderedDict)
    next_offset: int = 0
    owner: WriterElected | None = None
    terms: TermFilter = field(default_factory=TermFilter)

    def apply(self, recorded: RecordedEvent) -> None:
        """Fold one record read from the log. Raises ValueError when it is not the next one."""
        offset, event = recorded.position.offset, recorded.event
        if offset != self.next_offset:
            raise ValueError(f"offset {offset} follows {self.next_offset - 1}: the log has a hole or a transaction")
        if self.terms.admits(recorded):
            if isinstance(event, WriterElected):
                self.owner = event
            else:
                self._fold(event, recorded)
        self.next_offset = offset + 1

    def forget(self, before: datetime) -> None:
        """Drop the receipts of commands recorded before `before`: a repeat of such a key is a new command."""
        while self.receipts and next(iter(self.receipts.values())).time < before:
            self.receipts.popitem(last=False)

    def _fold(self, event: OrderEvent, recorded: RecordedEvent) -> None:
        metadata = recorded.metadata
        self.orders[event.order_id] = evolve(self.orders.get(event.order_id), event)
        if metadata.fingerprint:
            # Not the event's own time: an imported order's is long ago, and its key is new.
            receipt = Receipt(metadata.fingerprint, metadata.version, recorded.position.offset, recorded.recorded_at)
            self.receipts[event.order_id, metadata.command_id] = receipt
