"""`orderlog log backup`: what the log has and the backup has not, into files of their own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from eventlog.backup.manifest import Manifest, NoBackup, Stretch, clear, held, load, store
from eventlog.backup.stretches import StretchWriter
from eventlog.identity import LogIdentity, read_identity
from eventlog.reader import LogTruncated, log_ends, read_partition
from eventlog.settings import Settings
from schemas.refill import saved_schemas
from schemas.topics import ORDER_EVENTS

Tell = Callable[[int, int], None]
"""Told how many records are done, and how many there are to do."""


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What a run added, and what the backup has now."""

    records: int
    files: int
    total_records: int


async def backup(settings: Settings, folder: Path, tell: Tell) -> BackedUp:
    """Bring the backup in `folder` to the log's present end; killed at any moment, it goes on the next time.

    Raises NoBackup when the folder holds the backup of another log or something else, BackupBusy, LogTruncated,
    KafkaError, RegistryUnavailable.
    """
    topic = settings.topic(ORDER_EVENTS.name)
    with held(folder):
        clear(folder)
        log = await read_identity(settings.kafka_bootstrap, topic)
        # The ends first: what the values before them are written with, was registered before.
        ends = await log_ends(settings.kafka_bootstrap, topic)
        manifest = _continued(folder, load(folder) or Manifest.of(log, len(ends)), log)
        schemas = await asyncio.to_thread(saved_schemas, settings.registry_url, settings.topic_prefix)
        return await _go_on(settings, folder, replace(manifest, schemas=schemas), ends, tell)


async def _go_on(settings: Settings, folder: Path, manifest: Manifest, ends: Mapping[int, int], tell: Tell) -> BackedUp:
    """Add what is missing up to `ends`, naming each file in the manifest once it is on the disk."""
    before, known = manifest.ends(), len(manifest.files)
    done, total = 0, sum(ends.values()) - sum(before.values())

    def count(records: int) -> None:
        nonlocal done
        done += records
        tell(done, total)

    store(folder, manifest)
    for partition, end in sorted(ends.items()):
        if end < before[partition]:
            raise LogTruncated(f"partition {partition} ends at {end}, the backup has {before[partition]} records")
        where = (settings.kafka_bootstrap, manifest.topic, partition, before[partition], end)
        async for stretch in _stretches(folder, where, count):
            manifest = manifest.with_file(stretch)
            store(folder, manifest)
    return BackedUp(done, len(manifest.files) - known, sum(ends.values()))


def _continued(folder: Path, manifest: Manifest, log: LogIdentity) -> Manifest:
    if (manifest.cluster_id, manifest.topic_id) != (log.cluster_id, str(log.topic_id)):
        of = f"{manifest.topic} ({manifest.topic_id}) of cluster {manifest.cluster_id}"
        raise NoBackup(f"{folder} is the backup of {of}, not of {log}: give this log a folder of its own")
    return manifest


async def _stretches(
    folder: Path, where: tuple[str, str, int, int, int], count: Callable[[int], None]
) -> AsyncIterator[Stretch]:
    _, topic, partition, expected, _ = where
    writer: StretchWriter | None = None
    try:
        async for records in read_partition(*where):
            for record in records:
                if record.offset != expected:
                    raise LogTruncated(f"partition {partition} of {topic} has no offset {expected}")
                expected += 1
                writer = writer or StretchWriter(folder, partition, record.offset)
                writer.add(record)
                if writer.is_full:
                    yield writer.finish()
                    writer = None
            count(len(records))
        if writer:
            yield writer.finish()
            writer = None
    finally:
        if writer:
            writer.give_up()
