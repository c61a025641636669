"""What goes into the writer and what comes out of it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from command_side.domain.commands import Command
from command_side.domain.rejections import Rejection
from eventlog.positions import Position


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """A command with what the log records beside it.

    `command_id` is the client's idempotency key, or one made up. `fingerprint` is of the request
    behind the key, empty when the client gave no key: then no repeat can be recognised.
    `expected_version` is the version the client saw, None for any. `time` is when it happened, which
    for an imported order may be long ago; `recorded_at` is when it came in. Both in UTC.
    """

    command: Command
    command_id: str
    fingerprint: str
    expected_version: int | None
    time: datetime
    recorded_at: datetime
    correlation_id: str
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The command's events are in the log; `position` is the last one's, `version` the order's after it."""

    order_id: UUID
    version: int
    position: Position


@dataclass(frozen=True, slots=True)
class VersionConflict:
    """The order is not at the version the client expected."""

    expected: int
    current: int


@dataclass(frozen=True, slots=True)
class KeyReused:
    """The idempotency key was used before for another request on this order."""

    key: str


Outcome = Accepted | Rejection | VersionConflict | KeyReused


class Unavailable(Exception):
    """The partition cannot take the command now; nothing was appended. Try again after `retry_after_s`."""

    def __init__(self, reason: str, retry_after_s: int = 1) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class NotServing(Unavailable):
    """The partition is not written here now, and nothing was appended: its owner, here or elsewhere, may take it."""


class Unanswered(Exception):
    """The command may or may not be in the log; the same idempotency key can be sent again to find out."""
