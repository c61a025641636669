"""The file of the orders that were rejected: each with its line, the reason, and itself, to be mended."""

from pathlib import Path
from typing import Any, BinaryIO

import msgspec


class Rejects:
    """Writes the file at the first rejection; none is left of an earlier run when there is none now."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._file: BinaryIO | None = None
        path.unlink(missing_ok=True)

    def add(self, line: int, reason: dict[str, Any], order: Any) -> None:
        """Write one down; `order` is bytes of JSON, or anything that JSON can have."""
        if self._file is None:
            self._file = self.path.open("wb")
        content = msgspec.Raw(order) if isinstance(order, bytes) else order
        # As cli/order_import/ndjson.py reads it.
        self._file.write(msgspec.json.encode({"line": line, "reason": reason, "order": content}) + b"\n")
        self.count += 1

    def close(self) -> None:
        """Write out what is buffered."""
        if self._file is not None:
            self._file.close()
