"""How a writer takes over a partition: catch up, raise the epoch, write the barrier, read up to it.

Safety is the broker's fence (eventlog/fencing.py); what is here makes the state that the new
writer decides on exactly the log up to its own barrier.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from command_side.partition_state import PartitionState
from eventlog.fencing import Draft, Epoch, LogClient, advance
from eventlog.reader import read_partition
from eventlog.recorded import Metadata, read_record, to_headers
from eventlog.settings import Settings
from schemas.codec import Codec
from schemas.events import WriterElected

Progress = Callable[[int, int], None]


class Deposed(Exception):
    """Another writer has taken the partition over; `owner` is its barrier."""

    def __init__(self, owner: WriterElected) -> None:
        super().__init__(f"partition is written by {owner.writer_id} at {owner.advertised_url}")
        self.owner = owner


@dataclass(frozen=True, slots=True)
class Candidate:
    """Who stands for election, and what it works with. `writer_id` is new with every process."""

    settings: Settings
    client: LogClient
    codec: Codec
    writer_id: str
    advertised_url: str


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


async def catch_up(candidate: Candidate, partition: int, state: PartitionState, progress: Progress) -> None:
    """Fold the partition up to its present end; `progress(done, end)` is called after every fetch."""
    settings = candidate.settings
    end = await candidate.client.end_offset(partition)
    topic = settings.topic("order.events")
    async for records in read_partition(settings.kafka_bootstrap, topic, partition, state.next_offset, end):
        for record in records:
            state.apply(read_record(candidate.codec, partition, record))
        progress(state.next_offset, end)


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
        await mandate.append(candidate.client, partition, [_barrier(candidate, partition, mandate)])
        await catch_up(candidate, partition, state, lambda _done, _end: None)
        owner = state.owner
        if owner and (owner.writer_id, owner.term, owner.producer_epoch) == (
            candidate.writer_id,
            mandate.term,
            epoch.epoch,
        ):
            return mandate


def _barrier(candidate: Candidate, partition: int, mandate: Mandate) -> Draft:
    event = WriterElected(
        writer_id=candidate.writer_id,
        term=mandate.term,
        producer_id=mandate.epoch.producer_id,
        producer_epoch=mandate.epoch.epoch,
        advertised_url=candidate.advertised_url,
    )
    event_id = f"writer/{partition}/{mandate.term}/{mandate.epoch.epoch}"
    metadata = Metadata(
        event_id=event_id,
        time=datetime.now(UTC),
        subject=f"partition/{partition}",
        version=0,
        term=mandate.term,
        command_id=event_id,
        correlation_id=event_id,
        causation_id=event_id,
    )
    value = candidate.codec.encode(event)
    return Draft(None, value, to_headers(event, metadata), int(time.time() * 1000))
