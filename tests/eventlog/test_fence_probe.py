"""The probe against the real broker, and against one that lets a stale writer append."""

from collections.abc import Sequence
from uuid import uuid4

import pytest

from eventlog import topic_admin
from eventlog.fence_probe import DoesNotFence, require_fencing
from eventlog.fencing import Draft, Epoch, LogClient
from eventlog.settings import Settings
from schemas.topics import WRITER_PROBE


class Forgetful(LogClient):
    """A broker that takes no notice of epochs: whoever appends, does so under the newest one."""

    _newest: Epoch

    async def elect(self, transactional_id: str) -> Epoch:
        self._newest = await super().elect(transactional_id)
        return self._newest

    async def append(self, partition: int, epoch: Epoch, sequence: int, drafts: Sequence[Draft]) -> int:
        return await super().append(partition, self._newest, sequence, drafts)


@pytest.fixture
async def probe_topic(settings: Settings) -> str:
    await topic_admin.apply(settings)
    return settings.topic(WRITER_PROBE.name)


async def test_kafka_fences_however_often_it_is_tried(settings: Settings, probe_topic: str) -> None:
    async with LogClient(settings.kafka_bootstrap, probe_topic, 5) as client:
        for _ in range(3):
            await require_fencing(client, f"probe-{uuid4()}")


async def test_a_broker_that_does_not_is_refused_and_told_why(settings: Settings, probe_topic: str) -> None:
    async with Forgetful(settings.kafka_bootstrap, probe_topic, 5) as client:
        with pytest.raises(DoesNotFence, match="accepted an append of a writer that had been succeeded"):
            await require_fencing(client, f"probe-{uuid4()}")
