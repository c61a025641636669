"""Bring the committed schemas to a registry, and get a codec that speaks its ids back.

Subjects of the log are named by TopicRecordNameStrategy, `<topic>-<full record name>`: one topic carries many
event types, and each evolves by itself. A public topic carries one, so its subject is `<topic>-value`, where every
tool looks first (TopicNameStrategy).
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from schemas import avro
from schemas.avro import Schema
from schemas.codec import EVENT_NAMES, Codec
from schemas.errors import Explained
from schemas.public_codec import PublicCodec
from schemas.registry import COMPATIBILITY, Incompatible, Registry
from schemas.topics import CATALOGUE, ORDER_EVENTS, Topic

_AT_ONCE = 8


class NotRegistered(Explained):
    """The registry lacks a schema that this code writes; `orderlog schemas register` adds it."""


def register(registry_url: str, topic_prefix: str) -> list[str]:
    """Register every committed version, oldest first, and return the subjects that were new or got a version.

    Raises Incompatible, RegistryUnavailable. Safe to repeat.
    """
    with Registry(registry_url) as registry, ThreadPoolExecutor(_AT_ONCE) as pool:
        if registry.compatibility() != COMPATIBILITY:
            registry.require_compatibility()

        def registered(of: tuple[str, list[Schema]]) -> list[str]:
            subject, versions = of
            new = [schema for schema in versions if registry.registered(subject, schema) is None]
            return [subject for schema in new if registry.register(subject, schema)]

        versions: dict[str, list[Schema]] = {}
        for subject, schema in _committed(topic_prefix):
            versions.setdefault(subject, []).append(schema)
        # Each takes the registry a tenth of a second, which is mostly waiting for its own store.
        return [subject for new in pool.map(registered, versions.items()) for subject in new]


def check(registry_url: str, topic_prefix: str) -> list[str]:
    """What stands between the committed schemas and the registry, a sentence each; empty when nothing does."""
    problems: list[str] = []
    with Registry(registry_url) as registry:
        if (level := registry.compatibility()) != COMPATIBILITY:
            problems.append(
                f"the registry's compatibility is {level}, not {COMPATIBILITY}; run: orderlog schemas register"
            )
        for subject, schema in _committed(topic_prefix):
            try:
                if registry.registered(subject, schema) is None:
                    registry.check(subject, schema)
                    problems.append(f"{subject} is not registered; run: orderlog schemas register")
            except Incompatible as error:
                problems.append(str(error))
    return problems


def load_codec(
    registry_url: str,
    topic_prefix: str,
    patience_s: float = 30.0,
    lookup: Callable[[int], Schema] | None = None,
) -> Codec:
    """A codec that writes the latest schemas under the registry's ids and reads older versions through it.

    `lookup` takes the registry's place for ids that are not among those, see Codec. Raises NotRegistered, or
    RegistryUnavailable after `patience_s` seconds.
    """
    registry = Registry(registry_url, patience_s)
    topic = topic_prefix + ORDER_EVENTS.name
    return Codec({name: _id_of(registry, topic, name) for name in EVENT_NAMES}, lookup or registry.schema)


def load_public_codec(
    registry_url: str,
    topic_prefix: str,
    writes: Sequence[Topic] = (),
    patience_s: float = 30.0,
    lookup: Callable[[int], Schema] | None = None,
) -> PublicCodec:
    """A codec that reads all public events, and writes those of the topics in `writes`.

    `lookup` as for `load_codec`. Raises NotRegistered, or RegistryUnavailable after `patience_s` seconds.
    """
    registry = Registry(registry_url, patience_s)
    ids = {
        name.removeprefix("public."): _id_of(registry, topic_prefix + topic.name, name)
        for topic in writes
        for name in topic.schemas
    }
    return PublicCodec(ids, lookup or registry.schema)


def subject_of(topic: str, name: str) -> str:
    """The subject of a schema of schemas/avro in a topic."""
    return f"{topic}-value" if name.startswith("public.") else f"{topic}-{avro.latest(name)['namespace']}.{name}"


def _id_of(registry: Registry, topic: str, name: str) -> int:
    subject = subject_of(topic, name)
    found = registry.registered(subject, avro.latest(name))
    if found is None:
        raise NotRegistered(f"the registry has no {subject}; run: orderlog schemas register")
    return found


def _committed(topic_prefix: str) -> Iterator[tuple[str, Schema]]:
    for topic in CATALOGUE:
        for name in topic.schemas:
            for schema in avro.versions()[name]:
                yield subject_of(topic_prefix + topic.name, name), schema
