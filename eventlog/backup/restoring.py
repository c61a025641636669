"""`orderlog log restore`: a backup into an empty cluster, at the same offsets, with the same bytes and times.

Records first, schemas last. From before the first record to after the last schema a topic marks the log as being
restored, so that no service starts on half of it (eventlog/topic_admin.py).
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path

from eventlog import topic_admin
from eventlog.backup.manifest import Manifest, NoBackup, load
from eventlog.backup.stretches import Saved, records_of, require_whole, saved
from eventlog.fencing import Draft, Fenced, LogClient, OutcomeUnknown, advance
from eventlog.reader import log_ends, read_partition
from eventlog.settings import Settings
from schemas.errors import BadInput, Explained
from schemas.refill import refill, require_room
from schemas.topics import ORDER_EVENTS

Tell = Callable[[str, int, int], None]
"""Told what is being done, how many records of it are done, and how many there are."""

_MOST_RECORDS = 5_000
_MOST_BYTES = 900_000  # of one batch: a broker takes 1 MiB
_OVERHEAD = 64
_WITHIN_S = 60.0


class NotEmpty(BadInput):
    """The cluster's log holds something that this restore has not put there."""


class RestoreFailed(Explained):
    """The log could not be written on; what is there is whole, and the same command goes on."""


async def restore(settings: Settings, folder: Path, tell: Tell) -> int:
    """Put the backup in `folder` into the cluster of `settings`; the number of records that the log has then.

    Nothing is changed before the whole backup was checked. Killed at any moment, it goes on the next time, once what
    is there was found equal to the backup. Raises NoBackup, CorruptFile, NotEmpty, TopicMismatch, RegistryTaken,
    RestoreFailed, KafkaError, RegistryUnavailable.
    """
    if (manifest := load(folder)) is None:
        raise NoBackup(f"there is no backup in {folder}: it has no manifest.json")
    _require_fit(settings, manifest)
    _check_files(folder, manifest, tell)
    ends = await _require_empty(settings)
    await asyncio.to_thread(require_room, settings.registry_url, manifest.schemas)
    work = _Restore(settings, folder, manifest, tell)
    await work.compare(ends)
    await topic_admin.begin_restore(settings)
    await work.append(ends)
    await asyncio.to_thread(refill, settings.registry_url, manifest.schemas)
    await topic_admin.end_restore(settings)
    return sum(manifest.ends().values())


def _require_fit(settings: Settings, manifest: Manifest) -> None:
    if manifest.topic != settings.topic(ORDER_EVENTS.name):
        prefix = manifest.topic.removesuffix(ORDER_EVENTS.name)
        raise NoBackup(f"the backup is of the topic {manifest.topic}: set ORDERLOG_TOPIC_PREFIX={prefix}")
    if manifest.partitions != settings.partitions:
        count = manifest.partitions
        raise NoBackup(f"the backup has {count} partitions, which is for life: set ORDERLOG_PARTITIONS={count}")


def _check_files(folder: Path, manifest: Manifest, tell: Tell) -> None:
    total, done = sum(manifest.ends().values()), 0
    for stretch in manifest.files:
        require_whole(folder, stretch)
        done += stretch.records
        tell("check", done, total)


async def _require_empty(settings: Settings) -> Mapping[int, int]:
    """{partition: end} of what an earlier run has put there; empty when there is no topic yet. Raises NotEmpty."""
    topic = settings.topic(ORDER_EVENTS.name)
    begun, partitions = await topic_admin.restore_state(settings)
    if partitions is None:
        return {}
    if partitions != settings.partitions:
        raise NotEmpty(f"{topic} has {partitions} partitions, the backup has {settings.partitions}: delete the topic")
    ends = await log_ends(settings.kafka_bootstrap, topic)
    if any(ends.values()) and not begun:
        raise NotEmpty(f"{topic} is not empty: a log is only restored into a cluster that has none")
    return ends


class _Restore:
    """One run: compare what is there, then append what is not."""

    def __init__(self, settings: Settings, folder: Path, manifest: Manifest, tell: Tell) -> None:
        self._settings = settings
        self._folder = folder
        self._manifest = manifest
        self._tell = tell
        self._topic = settings.topic(ORDER_EVENTS.name)
        self._total = sum(manifest.ends().values())
        self._done = 0

    async def compare(self, ends: Mapping[int, int]) -> None:
        """Hold what an earlier run has appended against the backup. Raises NotEmpty."""
        for partition, end in ends.items():
            wanted = self._records(partition, 0)
            found = read_partition(self._settings.kafka_bootstrap, self._topic, partition, 0, end)
            async with aclosing(found):  # type: ignore[type-var]
                async for records in found:
                    for record in records:
                        if saved(record) != next(wanted, None):
                            where = f"{partition}:{record.offset} of {self._topic}"
                            raise NotEmpty(f"the record at {where} is not the backup's: delete the topic, start again")
                    self._advance("compare", len(records))

    async def append(self, ends: Mapping[int, int]) -> None:
        """Append each partition from its end on. Raises RestoreFailed."""
        async with LogClient(self._settings.kafka_bootstrap, self._topic, self._settings.produce_deadline_s) as client:
            for partition in range(self._manifest.partitions):
                try:
                    await self._append(client, partition, ends.get(partition, 0))
                except Fenced as error:
                    raise RestoreFailed(f"another process writes partition {partition} of {self._topic}") from error
                except (OutcomeUnknown, TimeoutError) as error:
                    raise RestoreFailed("Kafka does not answer: run the same command again, it goes on") from error

    async def _append(self, client: LogClient, partition: int, start: int) -> None:
        async with asyncio.timeout(_WITHIN_S):
            # As the partition's writer: another restore, or a writer, would be noticed at once.
            epoch = await client.elect(f"{self._settings.topic_prefix}writer-{partition}")
        sequence, expected = 0, start
        for drafts in _batches(self._records(partition, start)):
            async with asyncio.timeout(_WITHIN_S):
                offset = await client.append(partition, epoch, sequence, drafts)
            if offset != expected:
                where = f"{partition}:{expected} of {self._topic}"
                raise RestoreFailed(f"somebody wrote at {where} meanwhile: delete the topic, and start again")
            sequence, expected = advance(sequence, len(drafts)), expected + len(drafts)
            self._advance("restore", len(drafts))

    def _records(self, partition: int, start: int) -> Iterator[Saved]:
        return records_of(self._folder, self._manifest.files_of(partition), start)

    def _advance(self, what: str, records: int) -> None:
        self._done += records
        self._tell(what, self._done, self._total)


def _batches(records: Iterable[Saved]) -> Iterator[list[Draft]]:
    drafts: list[Draft] = []
    size = 0
    for record in records:
        length = len(record.key or b"") + len(record.value) + _OVERHEAD
        length += sum(len(name) + len(value) + 4 for name, value in record.headers)
        if drafts and (size + length > _MOST_BYTES or len(drafts) >= _MOST_RECORDS):
            yield drafts
            drafts, size = [], 0
        drafts.append(Draft(record.key, record.value, record.headers, record.timestamp))
        size += length
    if drafts:
        yield drafts
