"""How long work says where it is: named steps, and downloads with bytes."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]


class Progress(Protocol):
    """Told what is going on; a terminal, a log or nobody may listen."""

    def step(self, text: str) -> None:
        """A new step has begun."""

    def download(self, name: str, total_bytes: int) -> AbstractContextManager[Advance]:
        """A download begins; the context's value is called with the bytes of each piece."""


class Silent:
    """Nobody listens."""

    def step(self, text: str) -> None:
        """Say nothing."""

    @contextmanager
    def download(self, name: str, total_bytes: int) -> Iterator[Advance]:
        """Count nothing."""
        yield lambda _: None
