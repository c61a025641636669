"""Positions in the log: which record of which partition."""

from typing import Self

from msgspec import Struct


class Position(Struct, frozen=True, order=True, gc=False):
    """The record at `offset` of `partition` of order.events; written `partition:offset` outside.

    A view is *at* a position when it reflects that record and every one before it.
    """

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `partition:offset`. Raises ValueError with a sentence that names the form."""
        partition, colon, offset = text.strip().partition(":")
        if not (colon and partition.isascii() and offset.isascii() and partition.isdigit() and offset.isdigit()):
            raise ValueError(f"{text!r} is not a position; write partition:offset, for example 3:1207")
        return cls(int(partition), int(offset))


def parse_positions(text: str) -> dict[int, int]:
    """Read a comma-separated list of positions into {partition: offset}, the highest of each partition."""
    positions = [Position.parse(part) for part in text.split(",")]
    return {p.partition: p.offset for p in sorted(positions)}


def format_positions(offsets: dict[int, int]) -> str:
    """Write {partition: offset} as `0:12,1:7`, in partition order; the inverse of `parse_positions`."""
    return ",".join(str(Position(p, o)) for p, o in sorted(offsets.items()))
