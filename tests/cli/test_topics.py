"""`orderlog topics`: what a person reads, and what a program does."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from eventlog import topic_admin
from eventlog.settings import Settings
from local_stack.services import environment_of
from schemas.topics import CATALOGUE, WRITER_PROBE
from tests.kit.command_line import orderlog_here
from tests.kit.worlds import eventually

# No cluster, no stack: whatever the folder of this test has.
ALONE = {"ORDERLOG_KAFKA_BOOTSTRAP": "127.0.0.1:9", "ORDERLOG_TOPIC_PREFIX": "shop.", "COLUMNS": "200"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(variables: dict[str, str], *arguments: str, code: int = 0) -> str:
    done = orderlog_here("topics", *arguments, variables=variables)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_the_catalogue_needs_no_cluster() -> None:
    table = run(ALONE, "list")
    assert all(f"shop.{topic.name}" in table for topic in CATALOGUE)
    assert "for ever" in table
    listed = json.loads(run(ALONE | {"ORDERLOG_PARTITIONS": "7"}, "list", "--json"))["topics"]
    assert [one["name"] for one in listed] == [f"shop.{topic.name}" for topic in CATALOGUE]
    assert (listed[0]["partitions"], listed[0]["kept"], listed[0]["owner"]) == (7, "for ever", "command_side")
    assert run(ALONE, "list", "--markdown").startswith("# Topics\n")


def test_the_document_is_the_same_as_yaml_and_as_json() -> None:
    written = run(ALONE, "asyncapi")
    assert written.startswith("asyncapi: 3.0.0\n")
    assert "&id" not in written
    assert yaml.safe_load(written) == json.loads(run(ALONE, "asyncapi", "--json"))


async def test_a_plan_for_people_and_for_programs(settings: Settings) -> None:
    given = {name: value for name, value in environment_of(settings).items() if name.startswith("ORDERLOG_")}
    events, letters, stranger = map(settings.topic, ("order.events", "order.events.dlq", "order.created"))
    first = await _run(given, "plan")
    assert f"+ create     {events}: partitions 3, replicas 1," in first
    assert "retention.ms -1 (for ever)" in first
    assert await _run(given, "apply") == first
    await topic_admin.apply(settings, [replace(WRITER_PROBE, name="order.created")])
    async with topic_admin.admin_client(settings) as admin:
        changed = ConfigResource(ConfigResourceType.TOPIC, letters, configs={"retention.ms": "60000"})
        await admin.alter_configs([changed])

    async def seen() -> str:
        return shown if "configure" in (shown := await _run(given, "plan")) else ""

    planned = await eventually(seen)
    assert f"~ configure  {letters}:\n    retention.ms: 60000 (1 minute) -> 2592000000 (30 days)\n" in planned
    assert f"? not in the catalogue, left alone: {stranger}" in planned
    setting = {"name": "retention.ms", "old": "60000", "new": "2592000000"}
    assert json.loads(await _run(given, "apply", "--json")) == {
        "changes": [{"topic": letters, "action": "configure", "settings": [setting]}],
        "notes": [],
        "not_in_catalogue": [stranger],
    }
    assert "nothing to change" in await _run(given, "plan")
    other = given | {"ORDERLOG_PARTITIONS": "4"}
    assert "set ORDERLOG_PARTITIONS=3" in await _run(other, "apply", code=2)


async def _run(variables: dict[str, str], *arguments: str, **expected: Any) -> str:
    return await asyncio.to_thread(run, variables, *arguments, **expected)
