"""Folders to run whole stacks in; whatever a test leaves running there is stopped, and must have been stoppable."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.checkouts import Checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Callable[[str], Checkout]]:
    made: list[Checkout] = []

    def make(name: str) -> Checkout:
        (tmp_path / name).mkdir()
        made.append(Checkout(tmp_path / name))
        return made[-1]

    yield make
    for one in made:
        one.run("down")
        assert one.processes() == []
