"""Topics of a real broker, brought to what the catalogue says."""

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from eventlog import topic_admin
from eventlog.settings import Settings
from eventlog.topic_admin import TopicMismatch, TopicMissing
from schemas.topics import CATALOGUE, ORDER_EVENTS


async def test_planned_then_applied_then_nothing(settings: Settings) -> None:
    planned = await topic_admin.plan(settings)
    assert [change.action for change in planned] == ["create"] * len(CATALOGUE)
    assert planned[0].name == settings.topic("order.events")
    assert "retention.ms=-1" in planned[0].detail
    with pytest.raises(TopicMissing, match="orderlog topics apply"):
        await topic_admin.require(settings, ORDER_EVENTS)
    assert await topic_admin.apply(settings) == planned
    await topic_admin.require(settings, ORDER_EVENTS)
    assert await topic_admin.plan(settings) == []


async def test_a_changed_retention_is_mended(settings: Settings) -> None:
    await topic_admin.apply(settings)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    shortened = {"retention.ms": "1000"}
    name = settings.topic("order.events")
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs=shortened)])
    await admin.close()
    (change,) = await topic_admin.apply(settings)
    assert (change.action, "retention.ms=-1" in change.detail) == ("configure", True)
    assert await topic_admin.plan(settings) == []


async def test_another_partition_count_is_refused(settings: Settings) -> None:
    await topic_admin.apply(settings)
    with pytest.raises(TopicMismatch, match="ORDERLOG_PARTITIONS=3"):
        await topic_admin.plan(settings.model_copy(update={"partitions": 4}))
