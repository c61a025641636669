"""The folded state of one partition on disk: orders, receipts, and the offset they reflect, in RocksDB.

What is here can be lost: all of it is made again from the log. So a store that cannot be read, has another
format, or is of another log is thrown away, and what matters is only that it is never believed. Each `write` is one
atomic batch, so that orders and offset belong together whatever is killed. RocksDB's own log is off: the log that
matters is Kafka's, and what was in memory only is folded from there again.
"""

import shutil
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import msgspec
import structlog
from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch, WriteOptions

from command_side.domain.order import Order
from command_side.receipts import Receipt, ReceiptKey
from schemas.codec import EVENT_NAMES
from schemas.events import WriterElected

log = structlog.get_logger()

_FORMAT = 1
_CHECKPOINT, _ORDER, _RECEIPT, _BY_TIME = b"c", b"o", b"r", b"t"
_MEMTABLE_BYTES = 4 * 2**20  # twice this per partition at most
_CACHE = Cache(64 * 2**20)  # for all partitions of the process


class StoreUnusable(Exception):
    """The store cannot be read or written; it is to be discarded and made again from the log."""


class Checkpoint(msgspec.Struct, frozen=True):
    """What the store is the fold of: `log_id`'s partition up to, not including, `next_offset`.

    `term` and `owner` are the last barrier's. `last_event_id` is of the record before `next_offset`: a log that has
    another one there is not the log that this was folded from. `knew` are the types of events that the release which
    folded it knows, `skipped` those of events that it met and does not: what a store says of an order is right only
    for a release that knows the first, and none of the second.
    """

    log_id: str
    next_offset: int = 0
    term: int = 0
    owner: WriterElected | None = None
    last_event_id: str = ""
    format: int = _FORMAT
    knew: frozenset[str] = frozenset(EVENT_NAMES)
    skipped: frozenset[str] = frozenset()

    @property
    def folded_otherwise(self) -> frozenset[str]:
        """The types of events of which this release would have made something else."""
        return (self.knew - set(EVENT_NAMES)) | (self.skipped & set(EVENT_NAMES))


class OrderStore:
    """The store of one partition in `folder`, of which there is one at a time."""

    def __init__(self, folder: Path, log_id: str) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._db = _reading(lambda: Rdict(str(folder), _options()))
        self._db.set_write_options(_without_log())
        found = self._get(_CHECKPOINT)
        self.checkpoint = Checkpoint(log_id) if found is None else _decode(_checkpoints, found)
        if (self.checkpoint.log_id, self.checkpoint.format) != (log_id, _FORMAT):
            self._db.close()
            raise StoreUnusable(f"it is of {self.checkpoint.log_id} in format {self.checkpoint.format}")
        if otherwise := self.checkpoint.folded_otherwise:
            self._db.close()
            raise StoreUnusable(
                f"another release folded it, to which {', '.join(sorted(otherwise))} meant another thing"
            )

    @classmethod
    def open(cls, folder: Path, log_id: str) -> Self:
        """The store in `folder`; an empty one where there is none that can be used. `log_id` names the partition's log.

        Raises OSError when the folder cannot be written.
        """
        try:
            return cls(folder, log_id)
        except StoreUnusable as unusable:
            log.warning("order_store_discarded", folder=str(folder), reason=str(unusable))
            shutil.rmtree(folder)
            return cls(folder, log_id)

    def order(self, order_id: UUID) -> Order | None:
        """The order as of the checkpoint. Raises StoreUnusable."""
        found = self._get(_ORDER + order_id.bytes)
        return None if found is None else _decode(_orders, found)

    def receipt(self, key: ReceiptKey) -> Receipt | None:
        """The answer that a command got, as of the checkpoint. Raises StoreUnusable."""
        found = self._get(_RECEIPT + _of(key))
        return None if found is None else _decode(_receipts, found)

    def write(self, checkpoint: Checkpoint, orders: Iterable[Order], receipts: Mapping[ReceiptKey, Receipt]) -> None:
        """Put `orders` and `receipts` in, and move the checkpoint: all or nothing. Raises StoreUnusable."""
        batch = WriteBatch(raw_mode=True)
        for order in orders:
            batch.put(_ORDER + order.order_id.bytes, _encode(order))
        for key, receipt in receipts.items():
            of = _of(key)
            batch.put(_RECEIPT + of, _encode(receipt))
            batch.put(_BY_TIME + _microseconds(receipt.time) + of, b"")
        batch.put(_CHECKPOINT, _encode(checkpoint))
        _reading(lambda: self._db.write(batch))
        self.checkpoint = checkpoint

    def forget(self, before: datetime, at_most: int) -> None:
        """Drop the oldest receipts of commands recorded earlier than `before`. Raises StoreUnusable."""
        end, batch = _BY_TIME + _microseconds(before), WriteBatch(raw_mode=True)
        for entry in self._db.keys(from_key=_BY_TIME):
            if entry >= end or not entry.startswith(_BY_TIME) or len(batch) >= 2 * at_most:
                break
            batch.delete(entry)
            batch.delete(_RECEIPT + entry[len(end) :])
        if len(batch):
            _reading(lambda: self._db.write(batch))

    def close(self) -> None:
        """Bring what was written to the disk, and let go of the folder. Raises StoreUnusable."""
        try:
            _reading(self._db.flush)
        finally:
            self._db.close()

    def discard(self) -> None:
        """Let go of the folder and delete it."""
        self._db.close()
        shutil.rmtree(self._folder)

    def _get(self, key: bytes) -> Any:
        try:
            return self._db.get(key)
        except Exception as error:  # as in _reading, without the price of a call: each new order is looked up
            raise StoreUnusable(str(error)) from error


def _options() -> Options:
    table = BlockBasedOptions()
    table.set_bloom_filter(10, False)
    table.set_block_cache(_CACHE)
    table.set_cache_index_and_filter_blocks(True)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(_MEMTABLE_BYTES)
    options.set_max_write_buffer_number(2)
    options.set_block_based_table_factory(table)
    options.set_keep_log_file_num(1)
    return options


def _without_log() -> WriteOptions:
    options = WriteOptions()
    options.disable_wal = True  # type: ignore[method-assign, assignment]  # its stub takes the property for a method
    return options


def _reading(action: Any) -> Any:
    """What `action` returns; rocksdict raises a bare Exception for whatever RocksDB reports."""
    try:
        return action()
    except Exception as error:
        raise StoreUnusable(str(error)) from error


_encode = msgspec.msgpack.Encoder().encode
_orders = msgspec.msgpack.Decoder(Order)
_receipts = msgspec.msgpack.Decoder(Receipt)
_checkpoints = msgspec.msgpack.Decoder(Checkpoint)


def _decode(decoder: Any, found: bytes) -> Any:
    try:
        return decoder.decode(found)
    except msgspec.MsgspecError as error:
        raise StoreUnusable(f"an entry cannot be read: {error}") from error


def _of(key: ReceiptKey) -> bytes:
    order, command_id = key
    return order.to_bytes(16, "big") + command_id.encode()


def _microseconds(time: datetime) -> bytes:
    return int(time.timestamp() * 1_000_000).to_bytes(8, "big")
