"""Topics of a real broker, brought to what the catalogue says."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from eventlog import topic_admin
from eventlog.settings import Settings
from eventlog.topic_admin import TopicMissing
from eventlog.topic_plan import Plan, Setting, TopicMismatch
from schemas.topics import CATALOGUE, ORDER_EVENTS, ORDER_EVENTS_DLQ, WRITER_OWNERS
from tests.kit.worlds import eventually


async def test_planned_then_applied_then_nothing(settings: Settings) -> None:
    planned = await topic_admin.plan(settings)
    assert [change.action for change in planned.changes] == ["create"] * len(CATALOGUE)
    assert planned.changes[0].name == settings.topic("order.events")
    assert Setting("retention.ms", None, "-1") in planned.changes[0].settings
    assert Setting("partitions", None, "3") in planned.changes[0].settings
    with pytest.raises(TopicMissing, match="orderlog topics apply"):
        await topic_admin.require(settings, ORDER_EVENTS)
    assert await topic_admin.apply(settings) == planned
    await topic_admin.require(settings, *CATALOGUE)
    assert (await topic_admin.plan(settings)).changes == ()
    assert (await topic_admin.apply(settings)).changes == ()


async def test_all_missing_topics_are_made_by_one_request(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    create = AIOKafkaAdminClient.create_topics

    async def counting(admin: AIOKafkaAdminClient, topics: list[NewTopic]) -> object:
        sent.append(len(topics))
        return await create(admin, topics)

    monkeypatch.setattr(AIOKafkaAdminClient, "create_topics", counting)
    await topic_admin.apply(settings, [WRITER_OWNERS])
    await topic_admin.apply(settings)
    await topic_admin.apply(settings)
    assert sent == [1, len(CATALOGUE) - 1]


async def test_two_at_once_make_the_topics_once(settings: Settings) -> None:
    await asyncio.gather(topic_admin.apply(settings), topic_admin.apply(settings))
    assert (await topic_admin.plan(settings)).changes == ()


async def test_a_changed_retention_is_mended_and_nothing_else(settings: Settings) -> None:
    await topic_admin.apply(settings)
    name = settings.topic("order.events.dlq")
    await _set(settings, name, {**ORDER_EVENTS_DLQ.config, "retention.ms": "1000", "max.message.bytes": "2000000"})

    async def differing() -> Plan | None:
        plan = await topic_admin.plan(settings)
        return plan if plan.changes else None

    planned: Plan = await eventually(differing)
    (change,) = planned.changes
    assert (change.name, change.action) == (name, "configure")
    assert change.settings == (Setting("retention.ms", "1000", "2592000000"),)
    assert await topic_admin.apply(settings) == planned
    assert (await topic_admin.plan(settings)).changes == ()
    # AlterConfigs alone would have put back what the catalogue does not speak of.
    assert await _value(settings, name, "max.message.bytes") == "2000000"


async def test_another_partition_count_is_refused_before_anything_is_done(settings: Settings) -> None:
    await topic_admin.apply(settings, [ORDER_EVENTS])
    for do in (topic_admin.plan, topic_admin.apply):
        with pytest.raises(TopicMismatch, match="ORDERLOG_PARTITIONS=3"):
            await do(settings.model_copy(update={"partitions": 4}))
    with pytest.raises(TopicMissing):
        await topic_admin.require(settings, WRITER_OWNERS)


async def test_a_topic_that_nobody_knows_is_told_and_left(settings: Settings) -> None:
    await topic_admin.apply(settings)
    await topic_admin.apply(settings, [replace(WRITER_OWNERS, name="order.created")])
    stranger = settings.topic("order.created")
    assert (await topic_admin.apply(settings)).unknown == (stranger,)
    assert (await topic_admin.plan(settings)).unknown == (stranger,)


async def test_what_the_broker_refuses_is_named(settings: Settings) -> None:
    with pytest.raises(KafkaError, match=settings.topic("writer.owners")):
        await topic_admin.apply(settings.model_copy(update={"replication_factor": 7}))


async def _set(settings: Settings, name: str, configs: Mapping[str, str]) -> None:
    async with topic_admin.admin_client(settings) as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs=configs)])


async def _value(settings: Settings, name: str, key: str) -> str:
    async with topic_admin.admin_client(settings) as admin:
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs={key: ""})])
    ((_, _, _, _, ((_, value, *_),)),) = answer.resources
    return str(value)
