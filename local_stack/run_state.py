"""What the running stack says of itself: a lock that dies with it, and `run/stack.json` beside it.

The lock is the truth about whether a stack runs: the kernel gives it up however its holder ends, so a
file left behind by a `kill -9` is never believed.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from schemas.errors import Explained

State = Literal["starting", "running", "stopping", "failed"]


class AlreadyRunning(Explained):
    """Another stack uses this data folder."""


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the stack: where it is reached and where it says whether it is ready (may be empty)."""

    name: str
    url: str
    ready_url: str = ""


@dataclass(frozen=True, slots=True)
class RunState:
    """The stack as of now. `step` says what it is doing or why it failed; `settings` are what its services run with."""

    pid: int
    state: State
    step: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()


@contextmanager
def owned(data_dir: Path) -> Iterator[None]:
    """Be the only stack of `data_dir` while this is entered. Raises AlreadyRunning."""
    lock = _lock_file(data_dir)
    lock.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            os.lockf(handle, os.F_TLOCK, 0)
        except (BlockingIOError, PermissionError):
            raise AlreadyRunning(f"a stack already runs in {data_dir}; stop it with: orderlog down") from None
        yield
    finally:
        os.close(handle)


def write(data_dir: Path, state: RunState) -> None:
    """Replace what the stack says of itself; only its owner does."""
    file = _state_file(data_dir)
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps(asdict(state), indent=2) + "\n")
    temporary.replace(file)


def is_running(data_dir: Path) -> bool:
    """Whether some other process owns `data_dir`."""
    try:
        handle = os.open(_lock_file(data_dir), os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        os.lockf(handle, os.F_TEST, 0)
    except (BlockingIOError, PermissionError):
        return True
    finally:
        os.close(handle)
    return False


def last_written(data_dir: Path) -> RunState | None:
    """What the stack said last, whether it still runs or not."""
    try:
        raw = json.loads(_state_file(data_dir).read_text())
    except FileNotFoundError:
        return None
    return RunState(**{**raw, "parts": tuple(Part(**part) for part in raw["parts"])})


def running(data_dir: Path) -> RunState | None:
    """What the running stack says; None when none runs."""
    return last_written(data_dir) if is_running(data_dir) else None


def _lock_file(data_dir: Path) -> Path:
    return data_dir / "run" / "lock"


def _state_file(data_dir: Path) -> Path:
    return data_dir / "run" / "stack.json"
