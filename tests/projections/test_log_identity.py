"""A database belongs to one log: told by the cluster's id and the topic's."""

import pytest
from aiokafka.errors import UnknownTopicOrPartitionError

from eventlog.identity import read_identity
from eventlog.settings import Settings
from projections.log_identity import WrongLog, require_log
from service.database import connect
from tests.kit.worlds import prepare


async def test_positions_of_one_log_are_not_used_for_another(settings: Settings) -> None:
    other = settings.model_copy(update={"topic_prefix": f"{settings.topic_prefix}other."})
    await prepare(settings)
    await prepare(other)
    ours, theirs = [await read_identity(s.kafka_bootstrap, s.topic("order.events")) for s in (settings, other)]
    assert (ours.cluster_id, ours.topic_id.version) == (theirs.cluster_id, 4)
    assert ours.topic_id != theirs.topic_id
    async with await connect(settings.postgres_url) as connection:
        await require_log(connection, ours)
        await require_log(connection, ours)
        with pytest.raises(WrongLog, match=f"positions are of .*{ours.topic_id}.*, not of .*{theirs.topic_id}"):
            await require_log(connection, theirs)


async def test_a_topic_that_is_not_there(settings: Settings) -> None:
    with pytest.raises(UnknownTopicOrPartitionError):
        await read_identity(settings.kafka_bootstrap, settings.topic("order.events"))
