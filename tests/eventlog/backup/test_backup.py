"""`orderlog log backup` and `log restore` on real brokers and registries: whole, in steps, damaged, killed."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest

from eventlog import topic_admin
from eventlog.backup.manifest import Manifest, load
from eventlog.backup.stretches import require_whole
from eventlog.reader import log_ends, read_partition
from eventlog.settings import Settings
from local_stack.infrastructure import Infrastructure
from local_stack.process import Child
from local_stack.progress import Silent
from local_stack.services import environment_of, orderlog
from schemas.registry import Registry
from tests.kit.worlds import Worker, eventually, prepare
from tests.projections.histories import history
from tests.projections.log import LogWriter, log_writer
from tests.projections.running import append, caught_up, cli_told, running
from tests.projections.verifying.kit import verdict

Records = dict[int, list[Any]]


@contextmanager
def second_cluster(settings: Settings, folder: Path) -> Iterator[Settings]:
    """Another Kafka and registry, with nothing in them, and a database that is not there yet."""
    parts = Infrastructure(folder / "second", None, Silent())
    try:
        parts.kafka.start()
        parts.registry.start()
        kafka, registry = parts.endpoints.kafka_bootstrap, parts.endpoints.registry_url
        places = {"kafka_bootstrap": kafka, "registry_url": registry, "postgres_url": f"{settings.postgres_url}_second"}
        yield settings.model_copy(update={**places, "data_dir": folder / "data-of-second"})
    finally:
        parts.registry.stop()
        parts.kafka.stop()
        with psycopg.connect(settings.postgres_url, autocommit=True) as connection:
            name = f"{settings.postgres_url.rpartition('/')[2]}_second"
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@asynccontextmanager
async def log_with_barriers(settings: Settings) -> AsyncIterator[LogWriter]:
    """A writer of a log that begins with a barrier in each partition, on a prepared cluster."""
    codec = await prepare(settings)
    async with log_writer(settings, codec) as writer:
        for partition in range(settings.partitions):
            await writer.elect(3, partition)
        yield writer


async def run(settings: Settings, *arguments: str | Path, code: int = 0) -> str:
    """What `orderlog log …` says; its last line of JSON, when it is to end well."""
    given = [str(one) for one in arguments]
    returned, out, err = await asyncio.to_thread(cli_told, settings, "log", *given)
    assert returned == code, err + out
    return out or err


async def content(settings: Settings) -> Records:
    """Every record of the log, as Kafka has it."""
    topic = settings.topic("order.events")
    found: Records = {}
    for partition, end in (await log_ends(settings.kafka_bootstrap, topic)).items():
        found[partition] = []
        async for records in read_partition(settings.kafka_bootstrap, topic, partition, 0, end):
            found[partition] += [(r.offset, r.timestamp, r.timestamp_type, r.key, r.value, r.headers) for r in records]
    return found


def manifest_of(folder: Path) -> Manifest:
    found = load(folder)
    assert found
    return found


async def test_a_restored_log_and_the_views_made_of_it_are_the_same(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    async with log_with_barriers(settings) as writer:
        await append(writer, 200)
        with running(worker := Worker(settings, tmp_path / "worker.log")):
            await caught_up(settings, worker)
        # In two steps: the second adds files, and leaves the first ones as they are.
        await run(settings, "backup", folder)
        first = {path.name: path.read_bytes() for path in folder.glob("*.avro")}
        assert "0 records in 0 new files" in await run(settings, "backup", folder)
        await append(writer, 50, seed=2)
        await run(settings, "backup", folder)
    second = {path.name: path.read_bytes() for path in folder.glob("*.avro")}
    assert first.items() < second.items()
    with running(worker):
        await caught_up(settings, worker)
    with second_cluster(settings, tmp_path) as elsewhere:
        await run(elsewhere, "restore", folder)
        assert await content(elsewhere) == await content(settings)
        # The schemas are there under the ids that the values name: nothing is left to register.
        assert (await asyncio.to_thread(cli_told, elsewhere, "schemas", "register"))[1] == "nothing new to register\n"
        await prepare(elsewhere)
        with running(worker := Worker(elsewhere, tmp_path / "second-worker.log")):
            await caught_up(elsewhere, worker)
        here, there = await verdict(settings, "orders"), await verdict(elsewhere, "orders")
        assert (here.agrees, there.agrees) == (True, True)
        assert here.digests == there.digests
        assert "is not empty" in await run(elsewhere, "restore", folder, code=2)
        assert "is the backup of" in await run(elsewhere, "backup", folder, code=2)


async def test_what_is_damaged_or_does_not_fit_is_refused_before_anything_is_changed(
    settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "backup"
    async with log_with_barriers(settings) as writer:
        await append(writer, 20)
    await run(settings, "backup", folder)
    with second_cluster(settings, tmp_path) as elsewhere:
        victim = sorted(folder.glob("*.avro"))[1]
        whole = victim.read_bytes()
        victim.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
        assert f"{victim} is damaged" in await run(elsewhere, "restore", folder, code=2)
        victim.unlink()
        assert f"lacks its file {victim}" in await run(elsewhere, "restore", folder, code=2)
        victim.write_bytes(whole)
        fewer = elsewhere.model_copy(update={"partitions": 2})
        assert "set ORDERLOG_PARTITIONS=3" in await run(fewer, "restore", folder, code=2)
        other = elsewhere.model_copy(update={"topic_prefix": "other."})
        assert f"set ORDERLOG_TOPIC_PREFIX={settings.topic_prefix}" in await run(other, "restore", folder, code=2)
        assert "no backup" in await run(elsewhere, "restore", tmp_path / "nowhere", code=2)
        with Registry(elsewhere.registry_url) as registry:
            registry.register("somebody-elses", {"type": "record", "name": "Other", "fields": []})
        said = await run(elsewhere, "restore", folder, code=2)
        assert "somebody-elses" in said
        assert "a registry of its own" in said
        assert await topics_of(elsewhere) == set()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("miaow")
    assert "give the backup a folder of its own" in await run(settings, "backup", tmp_path / "photos", code=2)


async def topics_of(settings: Settings) -> set[str]:
    async with topic_admin.admin_client(settings) as admin:
        return {name for name in await admin.list_topics() if name.startswith(settings.topic_prefix)}


async def test_killed_in_the_middle_both_go_on(settings: Settings, tmp_path: Path) -> None:
    folder, random = tmp_path / "backup", Random(4)
    async with log_with_barriers(settings) as writer:
        for _ in range(20):
            await writer.append([event for _ in range(200) for event in history(random)])
        total = sum((await log_ends(settings.kafka_bootstrap, settings.topic("order.events"))).values())
        for begun in (partial(has_files, folder, 0), partial(has_files, folder, 1)):
            with killed(settings, tmp_path, "backup", folder) as process:
                await eventually(begun, process)
            for stretch in (manifest := manifest_of(folder)).files:
                require_whole(folder, stretch)
            assert sum(manifest.ends().values()) < total
        await run(settings, "backup", folder)
        assert sum(manifest_of(folder).ends().values()) == total
        assert not any(folder.glob("*.part"))
    with second_cluster(settings, tmp_path) as elsewhere:
        for least in (1, total // 2):
            with killed(elsewhere, tmp_path, "restore", folder) as process:
                await eventually(partial(restored, elsewhere, least), process)
            assert await restored(elsewhere, 1) < total
            code, _, err = await asyncio.to_thread(cli_told, elsewhere, "topics", "apply")
            assert (code, "is being restored" in err) == (1, True)
        said = json.loads((await run(elsewhere, "restore", folder, "--json")).splitlines()[-1])
        assert said["records"] == total
        assert await content(elsewhere) == await content(settings)
        code, out, err = await asyncio.to_thread(cli_told, elsewhere, "topics", "apply")
        assert (code, "is being restored" in out + err) == (0, False)


@contextmanager
def killed(settings: Settings, tmp_path: Path, *arguments: str | Path) -> Iterator[Child]:
    """`orderlog log …` as a process, killed when this is left."""
    command = orderlog("log", *map(str, arguments))
    process = Child("orderlog", command, tmp_path / f"{time.monotonic()}.log", environment=environment_of(settings))
    process.start()
    try:
        yield process
    finally:
        process.signal(signal.SIGKILL)
        process.kill()


def has_files(folder: Path, count: int) -> bool:
    found = load(folder)
    return found is not None and any(folder.glob("*.avro.part")) and len(found.files) >= count


async def restored(settings: Settings, least: int) -> int:
    """How many records were restored so far; 0 when that is fewer than `least`."""
    if (await topic_admin.restore_state(settings))[1] is None:
        return 0
    found = sum((await log_ends(settings.kafka_bootstrap, settings.topic("order.events"))).values())
    return found if found >= least else 0


async def test_on_this_machine_it_starts_what_it_needs_and_no_more(settings: Settings, tmp_path: Path) -> None:
    async with log_with_barriers(settings) as writer:
        await append(writer, 5)
    await run(settings, "backup", tmp_path / "backup")
    lost = settings.model_copy(update={"data_dir": tmp_path / "lost"})
    await run(lost, "restore", "--start", tmp_path / "backup")
    parts = Infrastructure(lost.data_dir, None, Silent())
    try:
        parts.kafka.start()
        there = lost.model_copy(update={"kafka_bootstrap": parts.endpoints.kafka_bootstrap})
        assert await content(there) == await content(settings)
    finally:
        parts.kafka.stop()


@pytest.mark.parametrize(
    "text", ["", "{", '{"format": 2, "schemas": []}', "[]", '{"format": 1, "schemas": [], "x": 1}']
)
async def test_a_manifest_that_cannot_be_read_is_one_line(settings: Settings, tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    assert str(tmp_path / "manifest.json") in await run(settings, "restore", tmp_path, code=2)
