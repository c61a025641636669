"""Digests of rows that do not depend on their order: hashes of rows, added up modulo 2^128."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

_BYTES = 16
_MODULUS = 1 << 8 * _BYTES

# Keys of JSON objects sorted, times as UTC, UUIDs as text: one form for what Postgres and the log give.
_encode = msgspec.msgpack.Encoder(order="sorted").encode

Row = tuple[str, Sequence[Any]]
"""A table's name, and the values of a row of it in the order of the table's columns."""


def digest_of(rows: Iterable[Row]) -> int:
    """The digest of `rows`; that of two collections together is `combined` of theirs."""
    return combined(*(int.from_bytes(blake2b(_encode(row), digest_size=_BYTES).digest(), "big") for row in rows))


def combined(*digests: int) -> int:
    """The digest of all rows behind `digests`."""
    return sum(digests) % _MODULUS


def written(digest: int) -> str:
    """A digest for people."""
    return f"{digest:0{2 * _BYTES}x}"
