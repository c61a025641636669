"""How a writer takes over a partition: catch up, raise the epoch, write the barrier, read up to it.

Safety is the broker's fence (eventlog/fencing.py); what is here makes the state that the new
writer decides on exactly the log up to its own barrier.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from command_side.metrics import CommandMetrics
from command_side.order_store import OrderStore
from command_side.partition_state import PartitionState
from eventlog.fencing import Draft, Epoch, LogClient, advance
from eventlog.positions import Position
from eventlog.reader import LogTruncated, read_partition
from eventlog.recorded import Metadata, RecordedEvent, read_record, to_headers
from eventlog.settings import Settings
from schemas.codec import Codec
from schemas.events import WriterElected

log = structlog.get_logger()

Progress = Callable[[int, int], None]
_AT_ONCE = 500  # records folded before others get their turn


class OtherLog(Exception):
    """The state was not folded from this log: it is to be discarded."""


class Deposed(Exception):
    """Another writer has taken the partition over; `owner` is its barrier."""

    def __init__(self, owner: WriterElected) -> None:
        super().__init__(f"partition is written by {owner.writer_id} at {owner.advertised_url}")
        self.owner = owner


@dataclass(frozen=True, slots=True)
class Candidate:
    """Who stands for election, and what it works with. `writer_id` is new with every process.

    `log_id` names the cluster and topic that the stores in `stores_dir` are folded from.
    """

    settings: Settings
    client: LogClient
    codec: Codec
    writer_id: str
    advertised_url: str
    log_id: str
    stores_dir: Path
    metrics: CommandMetrics = field(default_factory=CommandMetrics)


@dataclass(slots=True)
class Mandate:
    """The right to append to one partition: the epoch, the term, and the next sequence number."""

    epoch: Epoch
    term: int
    sequence: int = 0

    async def append(self, client: LogClient, partition: int, drafts: list[Draft]) -> int:
        """Append as one batch and return its first offset; raises what `LogClient.append` raises."""
        offset = await client.append(partition, self.epoch, self.sequence, drafts)
        self.sequence = advance(self.sequence, len(drafts))
        return offset


async def open_state(candidate: Candidate, partition: int) -> PartitionState:
    """The state that this process's store of the partition holds; an empty one without a store.

    Raises OtherLog once, when the store is of another log: it is deleted then.
    """
    settings = candidate.settings
    folder, log_id = candidate.stores_dir / str(partition), f"{candidate.log_id}/{partition}"
    store = await asyncio.to_thread(OrderStore.open, folder, log_id)
    keep = timedelta(seconds=settings.idempotency_keep_s)
    state = PartitionState(store, keep, settings.cached_orders // settings.partitions)
    try:
        await _require_same_log(candidate, partition, state)
    except (OtherLog, LogTruncated):
        state.discard()
        raise
    except BaseException:
        state.close()
        raise
    log.info("order_store_opened", partition=partition, offset=state.next_offset)
    return state


async def _require_same_log(candidate: Candidate, partition: int, state: PartitionState) -> None:
    """Hold the record before `state.next_offset` against the one that the state was folded from. Raises OtherLog.

    The topic's id does not tell an older copy of the log that was put back, or a broker that lost its last records.
    """
    if state.next_offset == 0:
        return
    settings, last = candidate.settings, state.next_offset - 1
    if (end := await candidate.client.end_offset(partition)) <= last:
        raise OtherLog(f"the state is at offset {state.next_offset}, the log ends at {end}")
    topic = settings.topic("order.events")
    async for records in read_partition(settings.kafka_bootstrap, topic, partition, last, last + 1):
        if (found := read_record(candidate.codec, partition, records[0]).metadata.event_id) != state.last_event_id:
            raise OtherLog(f"offset {last} has {found}, the state was folded from {state.last_event_id}")


async def catch_up(candidate: Candidate, partition: int, state: PartitionState, progress: Progress) -> None:
    """Fold the partition up to its present end; `progress(done, end)` is called as it goes on.

    Raises OtherLog when the log ends before what the state has seen.
    """
    settings = candidate.settings
    end = await candidate.client.end_offset(partition)
    if end < state.next_offset:
        raise OtherLog(f"the state is at offset {state.next_offset}, the log ends at {end}")
    topic = settings.topic("order.events")
    async for records in read_partition(settings.kafka_bootstrap, topic, partition, state.next_offset, end):
        for first in range(0, len(records), _AT_ONCE):
            for record in records[first : first + _AT_ONCE]:
                state.apply(read_record(candidate.codec, partition, record))
            progress(state.next_offset, end)
            await asyncio.sleep(0)  # the partitions that are served here go on meanwhile


async def take_over(candidate: Candidate, partition: int, state: PartitionState) -> Mandate:
    """Elect this process the partition's writer. Returns once `state` reflects all up to its own barrier.

    `state` should be caught up. The term must be above every earlier barrier's; one that got in
    between our reading and our barrier may have the same, and then there is another round.
    """
    transactional_id = f"{candidate.settings.topic_prefix}writer-{partition}"
    epoch = await candidate.client.elect(transactional_id)
    mandate = Mandate(epoch, term=0)
    while True:
        mandate.term = state.terms.term + 1
        barrier = _barrier(candidate, mandate)
        metadata = _about(barrier, partition)
        draft = Draft(None, candidate.codec.encode(barrier), to_headers(barrier, metadata), _milliseconds(metadata))
        offset = await mandate.append(candidate.client, partition, [draft])
        if offset == state.next_offset:
            # Nothing came in between, so nothing needs to be read.
            state.apply(RecordedEvent(Position(partition, offset), metadata.time, metadata, barrier))
        else:
            await catch_up(candidate, partition, state, lambda _done, _end: None)
        if state.owner == barrier:
            return mandate


def _barrier(candidate: Candidate, mandate: Mandate) -> WriterElected:
    return WriterElected(
        writer_id=candidate.writer_id,
        term=mandate.term,
        producer_id=mandate.epoch.producer_id,
        producer_epoch=mandate.epoch.epoch,
        advertised_url=candidate.advertised_url,
    )


def _about(barrier: WriterElected, partition: int) -> Metadata:
    event_id = f"writer/{partition}/{barrier.term}/{barrier.producer_epoch}"
    return Metadata(
        event_id=event_id,
        time=datetime.now(UTC),
        subject=f"partition/{partition}",
        version=0,
        term=barrier.term,
        command_id=event_id,
        correlation_id=event_id,
        causation_id=event_id,
    )


def _milliseconds(metadata: Metadata) -> int:
    return int(metadata.time.timestamp() * 1000)
