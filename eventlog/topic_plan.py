"""What stands between the topics of a cluster and those of the catalogue. Pure: topic_admin.py looks and does."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from eventlog.settings import Settings
from schemas.errors import BadInput
from schemas.topics import CATALOGUE, Topic

MIN_ISR = "min.insync.replicas"

# Made and removed with the table that it belongs to: projections/faust_names.py.
_CHANGELOG = re.compile(r"projection-.+-changelog")


class TopicMismatch(BadInput):
    """A topic of the cluster contradicts the catalogue in a way that no change of settings mends."""


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as the cluster has it. `replicas` are those of the partition with the fewest."""

    partitions: int
    replicas: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a topic; `old` is None while there is no topic."""

    name: str
    old: str | None
    new: str


@dataclass(frozen=True, slots=True)
class TopicChange:
    """One thing `apply` does: to which topic, what, and each setting that it gives the topic."""

    name: str
    action: Literal["create", "configure"]
    settings: tuple[Setting, ...]
    topic: Topic


@dataclass(frozen=True, slots=True)
class Plan:
    """All that `apply` does, in order; and what it does not do, for a person to read.

    `notes` are differences that cannot be mended here, `unknown` the topics of ours that the catalogue does not have.
    """

    changes: tuple[TopicChange, ...]
    notes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def plan_for(settings: Settings, found: Mapping[str, Found], topics: Sequence[Topic] = CATALOGUE) -> Plan:
    """What makes `topics` of what was `found`, by physical name.

    Raises TopicMismatch, which names all that is in the way, when a topic has another number of partitions, or fewer
    replicas than its acknowledgements would need.
    """
    if settings.min_insync_replicas > settings.replication_factor:
        raise TopicMismatch(
            f"ORDERLOG_MIN_INSYNC_REPLICAS={settings.min_insync_replicas} is more than "
            f"ORDERLOG_REPLICATION_FACTOR={settings.replication_factor}: nothing would ever be acknowledged; lower it"
        )
    refuse_mismatches(settings, found, topics)
    changes = [_change(settings, found.get(settings.topic(topic.name)), topic) for topic in topics]
    names = [settings.topic(topic.name) for topic in topics]
    notes = [_replicas_note(settings, name, found[name]) for name in names if name in found]
    return Plan(
        tuple(change for change in changes if change.settings), tuple(filter(None, notes)), unknown(settings, found)
    )


def refuse_mismatches(settings: Settings, found: Mapping[str, Found], topics: Iterable[Topic]) -> None:
    """Raises TopicMismatch for those of `topics` that were found and that nothing here may change."""
    problems = []
    for topic in topics:
        name = settings.topic(topic.name)
        if there := found.get(name):
            problems += [_partitions_problem(settings, name, there, topic), _replicas_problem(settings, name, there)]
    if told := [problem for problem in problems if problem]:
        raise TopicMismatch("; ".join(told))


def unknown(settings: Settings, names: Collection[str]) -> tuple[str, ...]:
    """Those of `names` that are ours, and neither in the catalogue nor a table's changelog.

    Ours is what begins with the prefix. Without one, the cluster may be anybody's: then only what begins as a topic
    of the catalogue does, such as `order.` or `inventory.`.
    """
    known = {settings.topic(topic.name) for topic in CATALOGUE}
    beginnings = {topic.name.partition(".")[0] + "." for topic in CATALOGUE}
    prefixes = (settings.topic_prefix,) if settings.topic_prefix else tuple(beginnings)
    ours = (name for name in names if name.startswith(prefixes) and name not in known)
    changelogs = (name for name in names if _CHANGELOG.fullmatch(name.removeprefix(settings.topic_prefix)))
    return tuple(sorted(set(ours) - set(changelogs)))


def config_of(settings: Settings, topic: Topic) -> Mapping[str, str]:
    """The topic's configuration, as far as we say anything of it."""
    return {**topic.config, MIN_ISR: str(settings.min_insync_replicas)}


def partitions_of(settings: Settings, topic: Topic) -> int:
    """How many partitions the topic has."""
    return settings.partitions if topic.partitions is None else topic.partitions


def _change(settings: Settings, there: Found | None, topic: Topic) -> TopicChange:
    name, wanted = settings.topic(topic.name), config_of(settings, topic)
    if there is None:
        shape = {
            "partitions": str(partitions_of(settings, topic)),
            "replicas": str(settings.replication_factor),
        }
        new = tuple(Setting(key, None, value) for key, value in [*shape.items(), *sorted(wanted.items())])
        return TopicChange(name, "create", new, topic)
    have = {key: there.config.get(key, "") for key in wanted}
    different = tuple(Setting(key, have[key], wanted[key]) for key in sorted(wanted) if have[key] != wanted[key])
    return TopicChange(name, "configure", different, topic)


def _partitions_problem(settings: Settings, name: str, there: Found, topic: Topic) -> str:
    if there.partitions == (wanted := partitions_of(settings, topic)):
        return ""
    if topic.partitions is None:
        return (
            f"topic {name} has {there.partitions} partitions, ORDERLOG_PARTITIONS says {wanted}: keys would change "
            "their partition, so the count is fixed for the life of the log; set "
            f"ORDERLOG_PARTITIONS={there.partitions}"
        )
    return (
        f"topic {name} has {there.partitions} partitions, the catalogue says {wanted}: keys would change their "
        f"partition, and what is of one key would no longer be read in order; set it to {there.partitions} in "
        "schemas/topics.py, or add a topic of another name there and move its readers"
    )


def _replicas_problem(settings: Settings, name: str, there: Found) -> str:
    if there.replicas >= settings.min_insync_replicas:
        return ""
    return (
        f"topic {name} has {_replicas(there.replicas)}, fewer than the "
        f"ORDERLOG_MIN_INSYNC_REPLICAS={settings.min_insync_replicas} that must acknowledge a record; give it "
        "more with kafka-reassign-partitions first"
    )


def _replicas_note(settings: Settings, name: str, there: Found) -> str:
    if there.replicas == settings.replication_factor:
        return ""
    return (
        f"{name} has {_replicas(there.replicas)}, ORDERLOG_REPLICATION_FACTOR says {settings.replication_factor}: "
        "that is not changed here, kafka-reassign-partitions does it"
    )


def _replicas(count: int) -> str:
    return "1 replica" if count == 1 else f"{count} replicas"
