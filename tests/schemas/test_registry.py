"""The committed schemas against a real registry."""

import json
from collections.abc import Iterator
from uuid import uuid4

import pytest

from eventlog.settings import Settings
from schemas import avro
from schemas.codec import EVENT_NAMES
from schemas.publish import NotRegistered, check, load_codec, register, subject_of
from schemas.registry import Incompatible, Registry, RegistryUnavailable
from schemas.topics import CATALOGUE, PUBLIC


@pytest.fixture
def registry(settings: Settings) -> Iterator[Registry]:
    with Registry(settings.registry_url) as client:
        client.require_compatibility()
        yield client


def test_every_committed_version_can_follow_all_before_it(registry: Registry, settings: Settings) -> None:
    for topic in (*CATALOGUE, *PUBLIC):
        for name in topic.schemas:
            subject = subject_of(settings.topic(topic.name), name)
            for schema in avro.versions()[name]:
                registry.check(subject, schema)
                registry.register(subject, schema)


def test_registering_is_safe_to_repeat_and_gives_a_codec(settings: Settings) -> None:
    where = (settings.registry_url, settings.topic_prefix)
    assert len(check(*where)) >= len(EVENT_NAMES)
    with pytest.raises(NotRegistered, match="orderlog schemas register"):
        load_codec(*where)
    assert len(register(*where)) == sum(len(topic.schemas) for topic in CATALOGUE)
    assert register(*where) == []
    assert check(*where) == []
    load_codec(*where)


def test_a_schema_that_old_readers_cannot_read_is_refused(registry: Registry) -> None:
    subject, schema = f"{uuid4()}-value", avro.latest("OrderConfirmed")
    registry.register(subject, schema)
    changed = json.loads(json.dumps(schema))
    changed["fields"].append({"name": "surcharge", "type": "long"})
    with pytest.raises(Incompatible, match=subject):
        registry.check(subject, changed)
    with pytest.raises(Incompatible, match=subject):
        registry.register(subject, changed)
    changed["fields"][-1]["default"] = 0
    registry.check(subject, changed)


def test_an_unknown_id_is_a_key_error(registry: Registry) -> None:
    with pytest.raises(KeyError):
        registry.schema(987_654)


def test_no_registry_is_said_with_its_address() -> None:
    with pytest.raises(RegistryUnavailable, match=r"http://127\.0\.0\.1:9"):
        load_codec("http://127.0.0.1:9", "", patience_s=0.1)
