"""What a partition's writer knows: the fold of its partition, and the answers it gave.

What changed lately is in memory only, and goes into the store every `_SAVE_EVERY` records; a restart folds these again
from the log. What was read lately stays in memory, up to a bound.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog

from command_side.domain.order import Order, evolve
from command_side.order_store import Checkpoint, OrderStore
from command_side.receipts import OrderKey, Receipt, ReceiptKey
from eventlog.positions import Position
from eventlog.recorded import RecordedEvent, TermFilter
from schemas.events import UnknownEvent, WriterElected

log = structlog.get_logger()

_SAVE_EVERY = 1_000


class PartitionState:
    """The fold of one partition from offset 0 up to, not including, `next_offset`.

    `owner` is the last barrier seen. A receipt counts for `keep_receipts` from its recording. At most about
    `cached_orders` orders are in memory. Every method may raise StoreUnusable.
    """

    def __init__(self, store: OrderStore, keep_receipts: timedelta, cached_orders: int) -> None:
        self._store = store
        self._keep = keep_receipts
        found = store.checkpoint
        self.next_offset = found.next_offset
        self.owner = found.owner
        self.last_event_id = found.last_event_id
        self.terms = TermFilter(found.term)
        self._skipped = found.skipped
        self._changed: dict[OrderKey, Order] = {}
        self._receipts: dict[ReceiptKey, Receipt] = {}
        # Two generations stand for a least recently used order: when the young one is full it becomes the old one.
        self._young: dict[OrderKey, Order] = {}
        self._old: dict[OrderKey, Order] = {}
        self._half = max(cached_orders // 2, 1)

    @property
    def in_memory(self) -> int:
        """How many orders are in memory now."""
        return len(self._changed) + len(self._young) + len(self._old)

    def order(self, order_id: UUID) -> Order | None:
        """The order as it is at `next_offset`."""
        key = order_id.int
        order = self._changed.get(key) or self._young.get(key)
        if order is None:
            order = self._old.get(key) or self._store.order(order_id)
            if order is not None:
                self._remember({key: order})
        return order

    def receipt(self, key: ReceiptKey, now: datetime) -> Receipt | None:
        """What was answered under `key`, if that is no longer ago than receipts are kept."""
        receipt = self._receipts.get(key) or self._store.receipt(key)
        return receipt if receipt and receipt.time >= now - self._keep else None

    def apply(self, recorded: RecordedEvent) -> None:
        """Fold one record read from the log. Raises ValueError when it is not the next one."""
        offset, event, metadata = recorded.position.offset, recorded.event, recorded.metadata
        if offset != self.next_offset:
            raise ValueError(f"offset {offset} follows {self.next_offset - 1}: the log has a hole or a transaction")
        if self.terms.admits(recorded):
            if isinstance(event, WriterElected):
                self.owner = event
            else:
                if type(event) is UnknownEvent:
                    self._skip(recorded.position, event)
                key = event.order_id.int
                self._changed[key] = evolve(self.order(event.order_id), event)
                if metadata.fingerprint:
                    # Not the event's own time: an imported order's is long ago, and its key is new.
                    receipt = Receipt(metadata.fingerprint, metadata.version, offset, recorded.recorded_at)
                    self._receipts[key, metadata.command_id] = receipt
        self._advance(1, metadata.event_id)

    def commit(
        self, orders: Mapping[OrderKey, Order], receipts: Mapping[ReceiptKey, Receipt], records: int, last_event_id: str
    ) -> None:
        """Make the effects of the log's next `records` records visible, the last of which is `last_event_id`."""
        self._changed.update(orders)
        self._receipts.update(receipts)
        self._advance(records, last_event_id)

    def save(self) -> None:
        """Bring the store up to `next_offset`, and drop from it some of the receipts that are too old."""
        log_id = self._store.checkpoint.log_id
        fold = (self.next_offset, self.terms.term, self.owner, self.last_event_id)
        checkpoint = Checkpoint(log_id, *fold, skipped=self._skipped)
        self._store.write(checkpoint, self._changed.values(), self._receipts)
        self._remember(self._changed)
        self._changed, self._receipts = {}, {}
        self._store.forget(datetime.now(UTC) - self._keep, at_most=2 * _SAVE_EVERY)

    def close(self) -> None:
        """Save, and let go of the store."""
        try:
            self.save()
        finally:
            self._store.close()

    def discard(self) -> None:
        """Delete the store: it does not belong to this log, or cannot be used."""
        self._store.discard()

    def _skip(self, at: Position, event: UnknownEvent) -> None:
        if event.type not in self._skipped:
            self._skipped |= {event.type}
            log.warning("event_of_unknown_type", type=event.type, first=str(at), order_id=str(event.order_id))

    def _advance(self, records: int, last_event_id: str) -> None:
        self.next_offset += records
        self.last_event_id = last_event_id
        if self.next_offset - self._store.checkpoint.next_offset >= _SAVE_EVERY:
            self.save()

    def _remember(self, orders: Mapping[OrderKey, Order]) -> None:
        self._young.update(orders)
        if len(self._young) >= self._half:
            self._old, self._young = dict(list(self._young.items())[-self._half :]), {}
