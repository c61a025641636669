"""What to do about a failure, as a value that the worker acts on: see docs/adr/0018-parking.md."""

from dataclasses import dataclass

import httpx
import psycopg
from psycopg.errors import IdleInTransactionSessionTimeout, InvalidSchemaName, ReadOnlySqlTransaction, UndefinedTable

from projections.publishing import NotPublished
from projections.schema_lookup import SchemaWanted
from projections.view import EventFailed
from schemas.registry import RegistryUnavailable


class Hole(Exception):
    """Records are missing between the view's position and what the log delivered."""


class TooManyParked(Exception):
    """So many orders fail that it is not them."""


class TableUnreadable(Exception):
    """RocksDB does not give what it holds; no event is to blame."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The same batch again, after a pause and for as long as it takes: nothing is wrong with it.

    `cause` is one of a few words, for metrics: postgres, disk_full, registry, kafka.
    """

    reason: str
    cause: str


@dataclass(frozen=True, slots=True)
class Park:
    """Set aside the event that failed, and later ones of its order; the others go on."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End the process and apply nothing further: going on would lose something, or make the view wrong."""

    reason: str


# Postgres restarting, failing over, out of disk or of connections, a deadlock; or it ended our transaction because
# we were suspended. Its classes: 08, 25, 40, 53, 55, 57, 58, and a connection that broke, which has no SQLSTATE.
_PASSING = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    IdleInTransactionSessionTimeout,
    ReadOnlySqlTransaction,
)
# Values that no row can hold, whenever it is tried: out of range, against a constraint, too large for an index.
# psycopg has the last ones (54) among the operational errors.
_REFUSED = ("22", "23", "54")


def judge(error: Exception) -> Retry | Park | Stop:
    """What a failure to read or to apply events calls for."""
    match error:
        case RegistryUnavailable() | httpx.HTTPError() | SchemaWanted():
            return Retry(str(error), "registry")
        case NotPublished():
            return Retry(str(error), "kafka")
        case Hole() | TooManyParked() | TableUnreadable():
            return Stop(str(error))
        case EventFailed():
            return Park(str(error))
        case psycopg.Error():
            return _judge_postgres(error)
        case MemoryError():
            return Stop("there is no memory left")
        case _:  # whatever a fold stumbles over
            return Park(f"{type(error).__name__}: {error}")


def _judge_postgres(error: psycopg.Error) -> Retry | Park | Stop:
    said = " ".join(str(error).split())
    if isinstance(error, psycopg.DataError) or (error.sqlstate or "")[:2] in _REFUSED:
        return Park(f"Postgres refuses it: {said}")
    if isinstance(error, _PASSING):
        return Retry(f"Postgres: {said}", "disk_full" if isinstance(error, psycopg.errors.DiskFull) else "postgres")
    if isinstance(error, UndefinedTable | InvalidSchemaName):
        return Stop(f"the database lacks a table: {said}; run: orderlog migrate")
    return Stop(f"a batch cannot be applied: {error!r}")
