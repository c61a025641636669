"""What to do about a failure, as a value that the worker acts on. A third answer, Park, has its place here."""

from dataclasses import dataclass

import psycopg

from projections.batches import Hole
from projections.view import EventFailed
from schemas.registry import RegistryUnavailable


@dataclass(frozen=True, slots=True)
class Retry:
    """The same batch again, after a pause and for as long as it takes: nothing is wrong with it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End the process and apply nothing further: going on would lose something, or make the view wrong."""

    reason: str


# Postgres restarting, failing over, out of disk or of connections; or it ended our transaction because we were
# suspended. Its classes: 08, 25, 53, 55, 57, 58, and a connection that broke, which has no SQLSTATE.
_PASSING = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.ReadOnlySqlTransaction,
)


def judge(error: Exception) -> Retry | Stop:
    """What a failure to apply a batch calls for."""
    match error:
        case RegistryUnavailable():
            return Retry(str(error))
        case _ if isinstance(error, _PASSING):
            return Retry(f"Postgres: {error}".strip())
        case Hole() | EventFailed():
            return Stop(str(error))
        case _:
            return Stop(f"a batch cannot be applied: {error!r}")
