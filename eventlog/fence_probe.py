"""Whether this broker keeps a stale writer out: tried before the first event is written, not believed.

The fence rests on how Apache Kafka treats producer epochs outside transactions (eventlog/fencing.py). Another
implementation of the protocol may accept the stale append, and then two writers would be possible.
"""

import time
from collections.abc import Sequence
from typing import Protocol

from eventlog.fencing import Draft, Epoch, Fenced, advance
from schemas.errors import Explained

_PARTITION = 0


class DoesNotFence(Explained):
    """The broker accepted an append of a writer that had been succeeded."""


class FencedLog(Protocol):
    """The part of LogClient that is put to the test."""

    async def elect(self, transactional_id: str) -> Epoch:
        """As LogClient's."""

    async def append(self, partition: int, epoch: Epoch, sequence: int, drafts: Sequence[Draft]) -> int:
        """As LogClient's."""


async def require_fencing(log: FencedLog, transactional_id: str) -> None:
    """Elect two writers of `transactional_id`, one after the other, and have the first append after the second.

    To be run on a topic of its own, under an id of its own. Raises DoesNotFence; OutcomeUnknown or another KafkaError
    when the broker does not answer, and never ends by itself while it is away: bound it with a timeout.
    """
    stale = await log.elect(transactional_id)
    await log.append(_PARTITION, stale, 0, [_draft()])
    successor = await log.elect(transactional_id)
    await log.append(_PARTITION, successor, 0, [_draft()])
    try:
        await log.append(_PARTITION, stale, advance(0, 1), [_draft()])
    except Fenced:
        return
    raise DoesNotFence(
        "this broker accepted an append of a writer that had been succeeded, so two writers could change one order; "
        "orderlog needs a broker that refuses older producer epochs outside transactions, as Apache Kafka does"
    )


def _draft() -> Draft:
    return Draft(None, b"probe", [], int(time.time() * 1000))
