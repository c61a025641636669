"""The file of an import: its format, its orders one after the other, and how much of it was read."""

import io
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from cli.order_import import csv_orders, ndjson
from cli.order_import.orders import Found
from schemas.errors import BadInput

_STDIN = Path("-")
_LONGEST_LINE_BYTES = 16 * 1024 * 1024


class Format(StrEnum):
    """How a file's orders are written."""

    NDJSON = "ndjson"
    CSV = "csv"


_BY_EXTENSION = {".ndjson": Format.NDJSON, ".jsonl": Format.NDJSON, ".csv": Format.CSV}


class OrderFile:
    """A file that is open for reading; `total_bytes` is None when nobody knows."""

    def __init__(self, path: Path, given: Format | None) -> None:
        """Raises BadInput when there is no such file, or its format is not given and not to be seen from the name."""
        format_ = given or (Format.NDJSON if path == _STDIN else _BY_EXTENSION.get(path.suffix.lower()))
        if format_ is None:
            raise BadInput(f"{path} is neither .ndjson, .jsonl nor .csv; say --format ndjson or --format csv")
        self._format = format_
        try:
            self._file: BinaryIO = sys.stdin.buffer if path == _STDIN else path.open("rb")
        except OSError as error:
            raise BadInput(f"{path}: {error.strerror}") from error
        self.total_bytes = None if path == _STDIN else path.stat().st_size
        self._path = path

    def read_bytes(self) -> int:
        """How much of it was read."""
        return self._file.tell() if self.total_bytes is not None else 0

    def orders(self) -> Iterator[Found]:
        """What it has, in order. Raises BadInput that names the line where the file cannot be read as its format."""
        if self._format is Format.NDJSON:
            yield from ndjson.read(self._lines())
            return
        # Kept, since it closes the file when it goes.
        self._text = io.TextIOWrapper(self._file, "utf-8-sig", newline="")
        try:
            yield from csv_orders.read(self._text)
        except UnicodeDecodeError as error:
            raise BadInput(f"{self._path} is not UTF-8 ({error.reason}); save it as CSV UTF-8") from error

    def _lines(self) -> Iterator[bytes]:
        number = 0
        while line := self._file.readline(_LONGEST_LINE_BYTES + 1):
            number += 1
            if len(line) > _LONGEST_LINE_BYTES:
                most = _LONGEST_LINE_BYTES // 2**20
                raise BadInput(f"line {number} of {self._path} has more than {most} MB; write one order a line")
            yield line
