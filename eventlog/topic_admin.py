"""Bring the cluster's topics to what the catalogue says, and say beforehand what would change."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from eventlog.settings import Settings
from eventlog.topic_plan import Found, Plan, TopicChange, config_of, partitions_of, plan_for, refuse_mismatches
from schemas.errors import Explained
from schemas.topics import CATALOGUE, ORDER_EVENTS, ORDER_EVENTS_RESTORING, Topic

_VISIBLE_WITHIN_S = 30.0
_POLL_S = 0.02
_SET_FOR_TOPIC = 1  # DescribeConfigs' source of a value that the topic itself was given


class TopicMissing(Explained):
    """A topic that is made once for the whole system is not there."""


class BeingRestored(Explained):
    """`orderlog log restore` has begun to put the log back, and has not finished."""


async def plan(settings: Settings) -> Plan:
    """What `apply` would change now; without changes when the cluster matches the catalogue.

    Raises TopicMismatch when a topic has another partition count: a key would move to another
    partition, so the count of order.events is fixed for the life of the log. Raises BeingRestored.
    """
    async with admin_client(settings) as admin:
        return await _plan(admin, settings, CATALOGUE)


async def apply(settings: Settings, topics: Sequence[Topic] = CATALOGUE) -> Plan:
    """Create missing topics and mend their configuration; returns what was done. Safe to repeat.

    `topics` is given for those that come and go with what they serve, such as changelogs. Topics that are not among
    them are left alone, and so are settings of a topic that the catalogue says nothing of. Raises TopicMismatch,
    BeingRestored.
    """
    async with admin_client(settings) as admin:
        planned = await _plan(admin, settings, topics)
        await _create(admin, settings, [change.topic for change in planned.changes if change.action == "create"])
        await _configure(admin, [change for change in planned.changes if change.action == "configure"])
    return planned


async def require(settings: Settings, *topics: Topic) -> None:
    """Return when `topics` are there. Raises TopicMissing, TopicMismatch, BeingRestored."""
    async with admin_client(settings) as admin:
        found = await _found(admin)
    _refuse_restoring(settings, found)
    for topic in topics:
        if settings.topic(topic.name) not in found:
            raise TopicMissing(f"there is no topic {settings.topic(topic.name)}; run: orderlog topics apply")
    refuse_mismatches(settings, found, topics)


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
        found = await _found(admin)
    log = found.get(name)
    return settings.topic(ORDER_EVENTS_RESTORING.name) in found, log.partitions if log else None


async def begin_restore(settings: Settings) -> None:
    """Mark the log as being restored, then make its topic; safe to repeat. Everything else here then refuses."""
    async with admin_client(settings) as admin:
        for topic in (ORDER_EVENTS_RESTORING, ORDER_EVENTS):  # never the log without its mark
            await _create(admin, settings, [topic])
        await _set(admin, {settings.topic(ORDER_EVENTS.name): config_of(settings, ORDER_EVENTS)})


async def end_restore(settings: Settings) -> None:
    """Take the mark away. Raises KafkaError when the broker does not delete topics."""
    async with admin_client(settings) as admin:
        response = await admin.delete_topics([settings.topic(ORDER_EVENTS_RESTORING.name)])
    for name, code in response.topic_error_codes:
        if code:
            raise KafkaError(f"the log is restored, but topic {name} was not deleted: {for_code(code).__name__}")


async def _plan(admin: AIOKafkaAdminClient, settings: Settings, topics: Sequence[Topic]) -> Plan:
    found = await _found(admin)
    _refuse_restoring(settings, found)
    names = [settings.topic(topic.name) for topic in topics]
    asked = {key for topic in topics for key in config_of(settings, topic)}
    configs = await _configs(admin, [name for name in names if name in found], asked)
    for name, entries in configs.items():
        there, config = found[name], {key: value for key, value, *_ in entries}
        found[name] = Found(there.partitions, there.replicas, config)
    return plan_for(settings, found, topics)


def _refuse_restoring(settings: Settings, present: Collection[str]) -> None:
    if settings.topic(ORDER_EVENTS_RESTORING.name) in present:
        raise BeingRestored(
            f"{settings.topic(ORDER_EVENTS.name)} is being restored; finish it with: orderlog log restore DIR"
        )


async def _found(admin: AIOKafkaAdminClient) -> dict[str, Found]:
    """Every topic of the cluster by name, in one request; without configuration."""
    return {
        one["topic"]: Found(len(one["partitions"]), min(len(each["replicas"]) for each in one["partitions"]), {})
        for one in await admin.describe_topics()
        if one["partitions"]  # none while it is being made or removed
    }


async def _configs(
    admin: AIOKafkaAdminClient, names: Sequence[str], asked: Iterable[str] | None
) -> dict[str, Sequence[Any]]:
    """Of each topic its entries (name, value, read only, source, …), in one request: those `asked` for, or all."""
    if not names:
        return {}
    keys = None if asked is None else dict.fromkeys(asked)
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, configs=keys) for name in names]
    found = {}
    for response in await admin.describe_configs(resources):
        for code, message, _, name, entries in response.resources:
            if code:
                raise KafkaError(f"the settings of topic {name} cannot be read: {message or for_code(code).__name__}")
            found[name] = entries
    return found


async def _create(admin: AIOKafkaAdminClient, settings: Settings, topics: Sequence[Topic]) -> None:
    """Make `topics` in one request, and wait until the brokers know them."""
    if not topics:
        return
    response = await admin.create_topics([_new(settings, topic) for topic in topics])
    problems = [
        f"topic {name} was not created: {message[0] if message and message[0] else for_code(code).__name__}"
        for name, code, *message in response.topic_errors
        if code and for_code(code) is not TopicAlreadyExistsError
    ]
    if problems:
        raise KafkaError("; ".join(problems))
    names = {settings.topic(topic.name) for topic in topics}

    async def shown() -> bool:
        return names <= (await _found(admin)).keys()

    await _until(shown, f"the topics {', '.join(sorted(names))} were made")


def _new(settings: Settings, topic: Topic) -> NewTopic:
    return NewTopic(
        name=settings.topic(topic.name),
        num_partitions=partitions_of(settings, topic),
        replication_factor=settings.replication_factor,
        topic_configs=dict(config_of(settings, topic)),
    )


async def _configure(admin: AIOKafkaAdminClient, changes: Sequence[TopicChange]) -> None:
    await _set(admin, {change.name: {one.name: one.new for one in change.settings} for change in changes})


async def _set(admin: AIOKafkaAdminClient, wanted: Mapping[str, Mapping[str, str]]) -> None:
    """Give topics, by name, these settings, in one request.

    AlterConfigs takes away what it is not told of, so a topic's other settings of its own are sent along.
    """
    kept = {
        name: {key: value for key, value, _, source, *_ in entries if source == _SET_FOR_TOPIC}
        for name, entries in (await _configs(admin, list(wanted), None)).items()
    }
    resources = [
        ConfigResource(ConfigResourceType.TOPIC, name, configs={**kept[name], **new}) for name, new in wanted.items()
    ]
    if not resources:
        return
    for response in await admin.alter_configs(resources):
        for code, message, _, name in response.resources:
            if code:
                raise KafkaError(f"topic {name} was not configured: {message or for_code(code).__name__}")

    async def shown() -> bool:
        have = await _configs(admin, list(wanted), None)
        return all(new.items() <= {key: value for key, value, *_ in have[name]}.items() for name, new in wanted.items())

    await _until(shown, f"the topics {', '.join(sorted(wanted))} were configured")


async def _until(shown: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until a broker shows what the controller has done: it learns it a moment later."""
    deadline = time.monotonic() + _VISIBLE_WITHIN_S
    while not await shown():
        if time.monotonic() > deadline:
            raise KafkaError(f"{what}, but no broker shows it")
        await asyncio.sleep(_POLL_S)


@asynccontextmanager
async def admin_client(settings: Settings) -> AsyncIterator[Any]:
    """aiokafka's admin client, connected while this is entered."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()
