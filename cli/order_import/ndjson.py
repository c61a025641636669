"""Orders as lines of JSON, each a body of POST /orders, or a line of a rejects file with such a body in it. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from cli.order_import.orders import Found, Unreadable, order

# What `orderlog import` writes of an order that was rejected, so that it can be mended and imported again.
REJECT_FIELDS = ("line", "reason", "order")
_decode = msgspec.json.Decoder().decode
_MARK = b"\xef\xbb\xbf"  # some editors begin UTF-8 with it


def read(lines: Iterable[bytes]) -> Iterator[Found]:
    """What each line has, in order; blank lines are skipped."""
    for number, line in enumerate(lines, start=1):
        content = line.removeprefix(_MARK) if number == 1 else line
        if not content.isspace() and content:
            yield _read_line(number, content)


def _read_line(number: int, line: bytes) -> Found:
    try:
        found: Any = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Unreadable(number, f"this is not JSON: {error}", line.decode(errors="replace").strip())
    if isinstance(found, dict) and found.keys() == set(REJECT_FIELDS):
        found = found["order"]
    if not isinstance(found, dict):
        return Unreadable(number, "an order is a JSON object, a body of POST /orders", found)
    return order(number, found)
