"""Orders and sums as keys and values of the table. Every value begins with the source offset that last changed it.

Keys begin with a letter for what they are. Sums are fixed-width signed integers of 16 bytes, which no
number of orders overflows; times sort as numbers, so a stretch of time is a stretch of keys.
"""

from typing import Any

import msgspec

from projections.sales.fold import SPANS, WIDTHS, Key, Order

_LETTERS = {"status": b"s", "minute": b"m", "hour": b"h", "day": b"d", "sku": b"k", "customer": b"c"}
_ORDER = b"o"
_OFFSET, _SUM, _TIME, _CURRENCY = 8, 16, 8, 3
_EPOCH = 2**63  # moves times before 1970 behind zero, or they would sort last

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, Order]).decode


def order_key(order_id: int) -> bytes:
    """The key of the order whose UUID is this number."""
    return _ORDER + order_id.to_bytes(16, "big")


def order_value(offset: int, order: Order) -> bytes:
    """An order as the event at `offset` left it."""
    return _encode((offset, order))


def read_order(value: bytes) -> tuple[int, Order]:
    """What `order_value` wrote."""
    return _decode(value)


def sum_key(key: Key) -> bytes:
    """The key of a sum."""
    kind, name = key.kind, key.name
    if isinstance(name, int):
        return _LETTERS[kind] + time_prefix(name) + key.currency.encode()
    return _LETTERS[kind] + f"{key.currency}{name}".encode()


def read_sum_key(kind: str, key: bytes) -> Key:
    """What `sum_key` wrote of a key of `kind`."""
    if kind in SPANS:
        return Key(kind, int.from_bytes(key[1 : 1 + _TIME], "big") - _EPOCH, key[1 + _TIME :].decode())
    split = 1 if kind == "status" else 1 + _CURRENCY
    return Key(kind, key[split:].decode(), key[1:split].decode())


def sum_value(offset: int, sums: tuple[int, ...] | list[int]) -> bytes:
    """Sums as the event at `offset` left them."""
    value = offset.to_bytes(_OFFSET, "big")
    for one in sums:
        value += one.to_bytes(_SUM, "big", signed=True)
    return value


def read_sum(value: bytes) -> tuple[int, list[int]]:
    """What `sum_value` wrote: the source offset and the sums."""
    sums = range(_OFFSET, len(value), _SUM)
    return int.from_bytes(value[:_OFFSET], "big"), [
        int.from_bytes(value[at : at + _SUM], "big", signed=True) for at in sums
    ]


def nothing(kind: str) -> tuple[int, list[int]]:
    """What stands for a sum that has no row yet."""
    return -1, [0] * WIDTHS[kind]


def kind_range(kind: str, since: int | None = None, until: int | None = None) -> tuple[bytes, bytes]:
    """From which key on and up to which the rows of `kind` are; of a span of time those beginning in [since, until)."""
    letter: Any = _LETTERS[kind]
    first = letter if since is None else letter + time_prefix(since)
    return first, bytes([letter[0] + 1]) if until is None else letter + time_prefix(until)


def time_prefix(second: int) -> bytes:
    """A second since 1970 so that bytes sort like numbers."""
    return (second + _EPOCH).to_bytes(_TIME, "big")
