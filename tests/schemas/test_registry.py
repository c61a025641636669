"""The committed schemas against a real registry."""

import json
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from eventlog.settings import Settings
from schemas import avro
from schemas.codec import EVENT_NAMES
from schemas.events import OrderShipped
from schemas.publish import NotRegistered, check, load_codec, register, subject_of
from schemas.registry import Incompatible, Registry, RegistryUnavailable
from schemas.topics import CATALOGUE
from tests.kit.newer import of_version_1


@pytest.fixture
def registry(settings: Settings) -> Iterator[Registry]:
    with Registry(settings.registry_url) as client:
        client.require_compatibility()
        yield client


def test_every_committed_version_can_follow_all_before_it(registry: Registry, settings: Settings) -> None:
    for topic in CATALOGUE:
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
    committed = sum(len(avro.versions()[name]) for topic in CATALOGUE for name in topic.schemas)
    assert len(register(*where)) == committed
    assert register(*where) == []
    assert check(*where) == []
    load_codec(*where)


def test_the_committed_versions_need_no_lookup(registry: Registry, settings: Settings) -> None:
    register(settings.registry_url, settings.topic_prefix)
    asked: list[int] = []

    def lookup(schema_id: int) -> avro.Schema:
        asked.append(schema_id)
        raise KeyError(schema_id)

    codec = load_codec(settings.registry_url, settings.topic_prefix, lookup=lookup)
    order_id = UUID("6f1c1f0a-6a5e-4a55-9d5c-0d5f6f1f2a11")
    value = of_version_1(settings, "OrderShipped", order_id, carrier="DHL", tracking="JD01")
    assert codec.decode(value) == OrderShipped(order_id, "DHL", "JD01", ("JD01",))
    assert asked == []


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


@pytest.mark.parametrize(
    ("topic", "name", "field"),
    [("order.events", "OrderConfirmed", "total"), ("order.shipped", "public.OrderShipped", "tracking")],
)
def test_what_cannot_follow_the_registry_is_said_with_file_field_and_rule(
    registry: Registry, settings: Settings, topic: str, name: str, field: str
) -> None:
    """Somebody else's release has registered a version that this one's cannot follow."""
    where, subject = (settings.registry_url, settings.topic_prefix), subject_of(settings.topic(topic), name)
    theirs = json.loads(json.dumps(avro.latest(name)))
    (changed,) = [one for one in theirs["fields"] if one["name"] == field]
    changed["type"] = "boolean"
    registry.register(subject, theirs)
    (problem,) = [problem for problem in check(*where) if "is not registered" not in problem]
    says = f"{subject}: {avro.file_of(name, 1)}: field {field} has another type than in the registry's version 1, "
    assert problem.startswith(f"{says}type_mismatch: ")
    with pytest.raises(Incompatible, match=f"field {field} has another type"):
        register(*where)


def test_an_unknown_id_is_a_key_error(registry: Registry) -> None:
    with pytest.raises(KeyError):
        registry.schema(987_654)


def test_no_registry_is_said_with_its_address() -> None:
    with pytest.raises(RegistryUnavailable, match=r"http://127\.0\.0\.1:9"):
        load_codec("http://127.0.0.1:9", "", patience_s=0.1)
