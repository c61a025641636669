"""Group commit, the pure half: decide a batch of commands against the state each would find.

Every command sees the events of those before it in the batch; nothing becomes visible until the
batch is in the log (`Batch.commit`), and nothing at all if it never gets there.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from command_side.domain.decide import decide
from command_side.domain.order import Order, evolve
from command_side.domain.rejections import Rejection
from command_side.outcomes import Accepted, CommandRequest, KeyReused, Outcome, VersionConflict
from command_side.partition_state import PartitionState
from command_side.receipts import Receipt, ReceiptKey
from eventlog.fencing import Draft
from eventlog.positions import Position
from eventlog.recorded import Metadata, to_headers
from schemas.codec import Codec
from schemas.events import OrderEvent


@dataclass(slots=True)
class Batch:
    """Commands decided together at `now` and the records they would append, first to `state.next_offset`."""

    partition: int
    state: PartitionState
    codec: Codec
    term: int
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    drafts: list[Draft] = field(default_factory=list)
    size_bytes: int = 0
    _orders: dict[UUID, Order] = field(default_factory=dict)
    _receipts: dict[ReceiptKey, Receipt] = field(default_factory=dict)
    _last_event_id: str = ""

    def decide(self, request: CommandRequest) -> Outcome:
        """Decide one command; its outcome holds once the batch is in the log."""
        order_id = request.command.order_id
        order = self._orders.get(order_id) or self.state.order(order_id)
        # Only accepted commands leave a receipt, so an order that was never placed has none.
        if order and request.fingerprint and (receipt := self._receipt(request)):
            return self._repeat(request, receipt)
        if order and request.expected_version not in (None, order.version):
            return VersionConflict(request.expected_version or 0, order.version)
        decision = decide(request.command, order)
        if isinstance(decision, Rejection):
            return decision
        return self._record(request, order, decision)

    def commit(self) -> None:
        """Make the batch's effects visible: its records were appended where they were meant to be."""
        self.state.commit(self._orders, self._receipts, len(self.drafts), self._last_event_id)

    def _receipt(self, request: CommandRequest) -> Receipt | None:
        key = (request.command.order_id, request.command_id)
        return self._receipts.get(key) or self.state.receipt(key, self.now)

    def _repeat(self, request: CommandRequest, receipt: Receipt) -> Outcome:
        if receipt.fingerprint != request.fingerprint:
            return KeyReused(request.command_id)
        return Accepted(request.command.order_id, receipt.version, Position(self.partition, receipt.offset))

    def _record(self, request: CommandRequest, order: Order | None, events: tuple[OrderEvent, ...]) -> Accepted:
        drafts: list[Draft] = []
        size, after = 0, order
        for event in events:
            after = evolve(after, event)
            draft = self._draft(request, event, after.version)
            size += len(draft.value)
            drafts.append(draft)
        assert after  # a command that is accepted has an event
        # Only now, so that a command that fails to be written down leaves nothing in the batch.
        self.drafts += drafts
        self.size_bytes += size
        offset = self.state.next_offset + len(self.drafts) - 1
        self._orders[after.order_id] = after
        self._last_event_id = f"{after.order_id}/{after.version}"
        if request.fingerprint:
            receipt = Receipt(request.fingerprint, after.version, offset, request.recorded_at)
            self._receipts[after.order_id, request.command_id] = receipt
        return Accepted(after.order_id, after.version, Position(self.partition, offset))

    def _draft(self, request: CommandRequest, event: OrderEvent, version: int) -> Draft:
        subject = str(event.order_id)
        metadata = Metadata(
            event_id=f"{subject}/{version}",
            time=request.time,
            subject=subject,
            version=version,
            term=self.term,
            command_id=request.command_id,
            correlation_id=request.correlation_id,
            causation_id=request.command_id,
            fingerprint=request.fingerprint,
            traceparent=request.traceparent,
        )
        recorded_ms = int(request.recorded_at.timestamp() * 1000)
        return Draft(subject.encode(), self.codec.encode(event), to_headers(event, metadata), recorded_ms)
