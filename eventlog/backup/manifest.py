"""What a backup is of and which files it has: `manifest.json`, written after the files that it names."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from eventlog.identity import LogIdentity
from schemas.errors import BadInput, Explained
from schemas.refill import SavedSchema

NAME = "manifest.json"
_FORMAT = 1
_LOCK = "lock"
_PARTIAL = ".part"


class NoBackup(BadInput):
    """The folder holds no backup that can be used; the message says why."""


class BackupBusy(Explained):
    """Another process is writing this backup."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """One file: records `first_offset` to `last_offset` of a partition, all of them."""

    name: str
    partition: int
    first_offset: int
    last_offset: int
    bytes: int
    sha256: str

    @property
    def records(self) -> int:
        """How many there are: offsets are dense."""
        return self.last_offset - self.first_offset + 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """A backup of the log `topic_id` of `cluster_id`, the schemas that its values name, its files in order."""

    topic: str
    cluster_id: str
    topic_id: str
    partitions: int
    schemas: Sequence[SavedSchema] = ()
    files: Sequence[Stretch] = ()
    format: int = _FORMAT

    @classmethod
    def of(cls, log: LogIdentity, partitions: int) -> Self:
        """That of a backup that has nothing yet."""
        return cls(log.topic, log.cluster_id, str(log.topic_id), partitions)

    def with_file(self, stretch: Stretch) -> Self:
        """This one, and a file more."""
        return replace(self, files=[*self.files, stretch])

    def ends(self) -> Mapping[int, int]:
        """{partition: the offset after its last record}. Raises NoBackup when files are missing between others."""
        ends = dict.fromkeys(range(self.partitions), 0)
        for file in self.files:
            if ends.get(file.partition) != file.first_offset:
                raise NoBackup(f"the manifest is damaged: {file.name} does not follow the files before it")
            ends[file.partition] = file.last_offset + 1
        return ends

    def files_of(self, partition: int) -> Sequence[Stretch]:
        """The files of a partition, in order."""
        return [file for file in self.files if file.partition == partition]


def load(folder: Path) -> Manifest | None:
    """The manifest of `folder`, None when it has none. Raises NoBackup when it cannot be read."""
    try:
        found = json.loads((folder / NAME).read_text())
        if (number := found.get("format")) != _FORMAT:
            raise NoBackup(f"{folder / NAME} has format {number}, this program reads {_FORMAT}")
        schemas = [SavedSchema(**one) for one in found.pop("schemas")]
        return Manifest(**{**found, "schemas": schemas, "files": [Stretch(**one) for one in found["files"]]})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise NoBackup(f"{folder / NAME} cannot be read: {error}") from error


def store(folder: Path, manifest: Manifest) -> None:
    """Put `manifest` in place of the one before; a kill at any moment leaves one of the two."""
    with partial(folder / NAME) as path:
        path.write_text(json.dumps(asdict(manifest), indent=1))


@contextmanager
def partial(target: Path) -> Iterator[Path]:
    """Another path, whose file becomes `target` when this is left, after it is on the disk."""
    path = target.with_name(target.name + _PARTIAL)
    yield path
    with path.open("rb") as written:
        os.fsync(written.fileno())
    path.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """No other process backs up to `folder`, which is made, while this is entered. Raises BackupBusy."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupBusy(f"another process backs up to {folder}") from None
        yield


def clear(folder: Path) -> None:
    """Clear what a killed run left in `folder`. Raises NoBackup when something in it is of no backup."""
    for path in folder.iterdir():
        if path.suffix == _PARTIAL:
            path.unlink()
        elif path.name not in (NAME, _LOCK) and path.suffix != ".avro":
            raise NoBackup(f"{path} belongs to no backup: give the backup a folder of its own")
