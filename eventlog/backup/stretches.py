"""Records of one partition in an Avro object container file: any Avro reader can read it."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from fastavro import parse_schema, reader
from fastavro.write import Writer

from eventlog.backup.manifest import Stretch, partial
from schemas.errors import BadInput

_BYTES: Any = ["null", "bytes"]
_SCHEMA = parse_schema(
    {
        "type": "record",
        "name": "LogRecord",
        "namespace": "orderlog.backup",
        "doc": "A record of the order log as it stands in Kafka.",
        "fields": [
            {"name": "partition", "type": "int"},
            {"name": "offset", "type": "long"},
            {"name": "timestamp", "type": "long", "doc": "Milliseconds since 1970, as the producer set it."},
            {"name": "key", "type": _BYTES},
            {"name": "value", "type": _BYTES, "doc": "The bytes as they are: magic byte, schema id, Avro."},
            {
                "name": "headers",
                "type": {
                    "type": "array",
                    "items": {
                        "type": "record",
                        "name": "Header",
                        "fields": [{"name": "name", "type": "string"}, {"name": "value", "type": _BYTES}],
                    },
                },
            },
        ],
    }
)
_MOST_RECORDS = 200_000
_MOST_BYTES = 256 * 2**20
_BLOCK = 64 * 2**10
_LEVEL = 1  # of deflate: names and ids of headers repeat, which any level finds


class CorruptFile(BadInput):
    """A file of the backup is not what the manifest says; the message names it."""


class Record(Protocol):
    """What is kept of a consumer's record."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Iterable[tuple[str, bytes]]


class Saved(NamedTuple):
    """A record of a backup."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


def saved(record: Record) -> Saved:
    """A record as a backup has it."""
    return Saved(record.offset, record.timestamp, record.key, record.value or b"", list(record.headers))


class StretchWriter:
    """Writes one file of `folder`, beginning with the record at `first` of `partition`."""

    def __init__(self, folder: Path, partition: int, first: int) -> None:
        self._path = folder / f"{partition:04}-{first:020}.avro"
        self._partition, self._first, self._next = partition, first, first
        self._size = 0
        self._closing = ExitStack()
        self._target = self._closing.enter_context(partial(self._path))
        self._file = self._target.open("wb")
        self._avro = Writer(self._file, _SCHEMA, codec="deflate", sync_interval=_BLOCK, compression_level=_LEVEL)

    @property
    def is_full(self) -> bool:
        """Whether the next record should begin another file."""
        return self._next - self._first >= _MOST_RECORDS or self._size >= _MOST_BYTES

    def add(self, record: Record) -> None:
        """Add the next record."""
        headers = [{"name": name, "value": value} for name, value in record.headers]
        fields = {"timestamp": record.timestamp, "key": record.key, "value": record.value, "headers": headers}
        self._avro.write({"partition": self._partition, "offset": record.offset, **fields})
        self._size += len(record.value or b"")
        self._next = record.offset + 1

    def finish(self) -> Stretch:
        """Put the file in its place, on the disk."""
        self._avro.flush()
        self._file.close()
        digest, size = _digest(self._target), self._target.stat().st_size
        self._closing.close()
        return Stretch(self._path.name, self._partition, self._first, self._next - 1, size, digest)

    def give_up(self) -> None:
        """Leave the file unfinished: the next run removes it."""
        self._file.close()


def require_whole(folder: Path, stretch: Stretch) -> None:
    """Return when the file is what the manifest says. Raises CorruptFile."""
    path = folder / stretch.name
    if not path.exists():
        raise CorruptFile(f"the backup lacks its file {path}")
    if path.stat().st_size != stretch.bytes or _digest(path) != stretch.sha256:
        raise CorruptFile(f"{path} is damaged: its SHA-256 is not the manifest's")


def records_of(folder: Path, files: Iterable[Stretch], start: int) -> Iterator[Saved]:
    """The records of one partition's `files` from offset `start` on. Raises CorruptFile at one that is not next."""
    expected = start
    for stretch in files:
        if stretch.last_offset < start:
            continue
        with (folder / stretch.name).open("rb") as file:
            for found in reader(file):
                record: Any = found
                if record["offset"] < start:
                    continue
                if record["offset"] != expected or record["partition"] != stretch.partition:
                    raise CorruptFile(f"{folder / stretch.name} does not have offset {expected} where it should")
                expected += 1
                headers = [(header["name"], header["value"]) for header in record["headers"]]
                yield Saved(record["offset"], record["timestamp"], record["key"], record["value"] or b"", headers)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
