"""Folders to run whole stacks in; whatever a test leaves running there is stopped, and must have been stoppable."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local_stack.infrastructure import Infrastructure
from local_stack.progress import Silent
from tests.kit.checkouts import Checkout


@pytest.fixture
def private_infrastructure(tmp_path: Path) -> Iterator[Infrastructure]:
    """A stack of the test's own, to be killed and started as it likes."""
    stack = Infrastructure(tmp_path / "stack", None, Silent())
    stack.start()
    yield stack
    stack.stop()


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
