"""The AsyncAPI document: valid, whole, and nothing in it that leads nowhere."""

import json
import warnings
from collections.abc import Iterator
from functools import reduce
from typing import Any

from eventlog.settings import Settings
from schemas.asyncapi import document, key_of
from schemas.topics import CATALOGUE, Topic

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # two of its fields shadow ones of pydantic's
    from asyncapi3 import AsyncAPI3  # type: ignore[import-untyped]

SETTINGS = Settings(
    _env_file=None,
    kafka_bootstrap="one:9092, two:9093",
    registry_url="https://user:secret@registry:8081/apis?key=secret",
    topic_prefix="shop.",
    partitions=5,
    replication_factor=3,
    min_insync_replicas=2,
)


def test_it_is_valid_and_has_every_topic() -> None:
    made = document(SETTINGS)
    AsyncAPI3.model_validate(made)
    for topic in CATALOGUE:
        channel = made["channels"][key_of(topic.name)]
        binding = channel["bindings"]["kafka"]
        assert channel["address"] == binding["topic"] == f"shop.{topic.name}"
        assert (channel["description"], channel["x-owner"]) == (topic.reason, topic.owner)
        assert binding["partitions"] == (topic.partitions or 5)
        assert len(channel["messages"]) == (len(topic.schemas) or 1)
        actions = [one["action"] for one in made["operations"].values() if one["channel"] == _ref(topic)]
        assert actions == ["send", *["receive"] * len(topic.readers)]
    assert len(made["channels"]) == len(CATALOGUE)


def test_every_reference_leads_somewhere() -> None:
    made = document(SETTINGS)
    found = list(_references(made))
    assert found
    for reference in found:
        reduce(lambda part, name: part[name], reference.removeprefix("#/").split("/"), made)


def test_a_public_event_is_its_schema_its_headers_and_how_to_find_the_schema() -> None:
    message = document(SETTINGS)["components"]["messages"]["order-placed-OrderPlaced"]
    assert message["payload"]["schemaFormat"] == "application/vnd.apache.avro+json;version=1.9.0"
    assert message["payload"]["schema"]["namespace"] == "orderlog.public"
    assert message["headers"] == {"$ref": "#/components/schemas/headers-public"}
    assert message["bindings"]["kafka"]["schemaLookupStrategy"] == "TopicNameStrategy"


def test_settings_are_told_but_no_password() -> None:
    made = document(SETTINGS)
    assert [server["host"] for server in made["servers"].values()] == ["one:9092", "two:9093"]
    assert made["servers"]["kafka-1"]["bindings"]["kafka"]["schemaRegistryUrl"] == "https://registry:8081/apis"
    assert "secret" not in json.dumps(made)
    configuration = made["channels"]["order-events"]["bindings"]["kafka"]["topicConfiguration"]
    assert (configuration["retention.ms"], configuration["cleanup.policy"]) == (-1, ["delete"])
    assert configuration["min.insync.replicas"] == 2


def _ref(topic: Topic) -> dict[str, str]:
    return {"$ref": f"#/channels/{key_of(topic.name)}"}


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(reference := part.get("$ref"), str):
            yield reference
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from _references(each)
