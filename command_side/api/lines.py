"""Lines out of a body that arrives in pieces, with a bound on how much is kept. Pure."""

from collections.abc import Iterator


class Lines:
    """Cuts what it is fed into lines of at most `max_bytes`; memory stays within that and one piece."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._rest = b""
        self._cut = False  # the line that has begun is too long, its end is still to come
        self.number = 0

    def feed(self, piece: bytes) -> Iterator[tuple[int, bytes | None]]:
        """The lines that end within `piece`: each with its number, from 1; None for one that is too long.

        Blank lines are counted and left out.
        """
        *whole, rest = (self._rest + piece).split(b"\n")
        for line in whole:
            yield from self._numbered(line)
        self._rest, self._cut = (b"", True) if self._cut or len(rest) > self._max_bytes else (rest, False)

    def end(self) -> Iterator[tuple[int, bytes | None]]:
        """The last line, when no line feed ended it."""
        yield from self._numbered(self._rest)

    def _numbered(self, line: bytes) -> Iterator[tuple[int, bytes | None]]:
        self.number += 1
        if self._cut or len(line) > self._max_bytes:
            self._cut = False
            yield self.number, None
        elif line and not line.isspace():
            yield self.number, line
