"""Bring the cluster's topics to what the catalogue says, and say beforehand what would change."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from eventlog.settings import Settings
from schemas.errors import BadInput, Explained
from schemas.topics import CATALOGUE, ORDER_EVENTS, ORDER_EVENTS_RESTORING, Topic


class TopicMismatch(BadInput):
    """A topic of the cluster contradicts the catalogue in a way that no change of settings mends."""


class TopicMissing(Explained):
    """A topic that is made once for the whole system is not there."""


class BeingRestored(Explained):
    """`orderlog log restore` has begun to put the log back, and has not finished."""


@dataclass(frozen=True, slots=True)
class TopicChange:
    """One thing `apply` does: to which topic, what, and the details a person wants to see."""

    name: str
    action: Literal["create", "configure"]
    detail: str


async def plan(settings: Settings) -> list[TopicChange]:
    """What `apply` would change now; empty when the cluster matches the catalogue.

    Raises TopicMismatch when a topic has another partition count: a key would move to another
    partition, so the count of order.events is fixed for the life of the log. Raises BeingRestored.
    """
    async with admin_client(settings) as admin:
        return [change for change, _ in await _changes(admin, settings)]


async def apply(settings: Settings, topics: Sequence[Topic] = CATALOGUE) -> list[TopicChange]:
    """Create missing topics and mend their configuration; returns what was done. Safe to repeat.

    `topics` is given for those that come and go with what they serve, such as changelogs. Raises TopicMismatch,
    BeingRestored.
    """
    async with admin_client(settings) as admin:
        changes = await _changes(admin, settings, topics)
        for change, topic in changes:
            if change.action == "create":
                await _create(admin, settings, topic)
            else:
                await _configure(admin, settings, topic)
    return [change for change, _ in changes]


async def require(settings: Settings, *topics: Topic) -> None:
    """Return when `topics` are there. Raises TopicMissing, TopicMismatch, BeingRestored."""
    missing = {change.name for change in await plan(settings) if change.action == "create"}
    for topic in topics:
        if settings.topic(topic.name) in missing:
            raise TopicMissing(f"there is no topic {settings.topic(topic.name)}; run: orderlog topics apply")


async def delete(settings: Settings, names: Sequence[str]) -> None:
    """Remove the topics with these physical names; those that are not there are fine. Raises KafkaError."""
    async with admin_client(settings) as admin:
        present = set(await admin.list_topics()).intersection(names)
        if not present:
            return
        answer = await admin.delete_topics(sorted(present))
        for name, code, *_ in answer.topic_error_codes:
            error = for_code(code)
            if code and error is not UnknownTopicOrPartitionError:
                raise KafkaError(f"topic {name} was not removed: {error.__name__}")


async def restore_state(settings: Settings) -> tuple[bool, int | None]:
    """Whether a restore has begun and not finished; the partitions of order.events, None when there is none."""
    name = settings.topic(ORDER_EVENTS.name)
    async with admin_client(settings) as admin:
        present = set(await admin.list_topics())
        described = await admin.describe_topics([name]) if name in present else []
    counts = [len(one["partitions"]) for one in described]
    return settings.topic(ORDER_EVENTS_RESTORING.name) in present, counts[0] if counts else None


async def begin_restore(settings: Settings) -> None:
    """Mark the log as being restored, then make its topic; safe to repeat. Everything else here then refuses."""
    async with admin_client(settings) as admin:
        for topic in (ORDER_EVENTS_RESTORING, ORDER_EVENTS):
            await _create(admin, settings, topic)
        await _configure(admin, settings, ORDER_EVENTS)


async def end_restore(settings: Settings) -> None:
    """Take the mark away. Raises KafkaError when the broker does not delete topics."""
    async with admin_client(settings) as admin:
        response = await admin.delete_topics([settings.topic(ORDER_EVENTS_RESTORING.name)])
    for name, code in response.topic_error_codes:
        if code:
            raise KafkaError(f"the log is restored, but topic {name} was not deleted: {for_code(code).__name__}")


async def _changes(
    admin: AIOKafkaAdminClient, settings: Settings, topics: Sequence[Topic] = CATALOGUE
) -> list[tuple[TopicChange, Topic]]:
    present = set(await admin.list_topics())
    if settings.topic(ORDER_EVENTS_RESTORING.name) in present:
        raise BeingRestored(
            f"{settings.topic(ORDER_EVENTS.name)} is being restored; finish it with: orderlog log restore DIR"
        )
    changes: list[tuple[TopicChange, Topic]] = []
    for topic in topics:
        name, wanted = settings.topic(topic.name), _config(settings, topic)
        if name not in present:
            shape = f"{_partitions(settings, topic)} partitions, {settings.replication_factor} replicas"
            changes.append((TopicChange(name, "create", f"{shape}, {_written(wanted)}"), topic))
            continue
        await _check_partitions(admin, name, _partitions(settings, topic))
        different = {k: v for k, v in wanted.items() if (await _current(admin, name)).get(k) != v}
        if different:
            changes.append((TopicChange(name, "configure", _written(different)), topic))
    return changes


async def _check_partitions(admin: AIOKafkaAdminClient, name: str, wanted: int) -> None:
    (described,) = await admin.describe_topics([name])
    found = len(described["partitions"])
    if found != wanted:
        raise TopicMismatch(
            f"topic {name} has {found} partitions, the settings say {wanted}; "
            f"the count is fixed for the life of the log: set ORDERLOG_PARTITIONS={found}"
        )


async def _current(admin: AIOKafkaAdminClient, name: str) -> Mapping[str, str]:
    responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    return {entry[0]: entry[1] for response in responses for resource in response.resources for entry in resource[4]}


async def _create(admin: AIOKafkaAdminClient, settings: Settings, topic: Topic) -> None:
    new = NewTopic(
        name=settings.topic(topic.name),
        num_partitions=_partitions(settings, topic),
        replication_factor=settings.replication_factor,
        topic_configs=dict(_config(settings, topic)),
    )
    response = await admin.create_topics([new])
    for name, code, *message in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise KafkaError(f"topic {name} was not created: {message[0] if message else error.__name__}")


async def _configure(admin: AIOKafkaAdminClient, settings: Settings, topic: Topic) -> None:
    wanted = dict(_config(settings, topic))
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, settings.topic(topic.name), configs=wanted)])


def _config(settings: Settings, topic: Topic) -> Mapping[str, str]:
    return {**topic.config, "min.insync.replicas": str(settings.min_insync_replicas)}


def _partitions(settings: Settings, topic: Topic) -> int:
    return settings.partitions if topic.partitions is None else topic.partitions


def _written(config: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(config.items()))


@asynccontextmanager
async def admin_client(settings: Settings) -> AsyncIterator[Any]:
    """aiokafka's admin client, connected while this is entered."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()
