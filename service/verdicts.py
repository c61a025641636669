"""What to do about a failure, as a value that a loop which moves events acts on: see docs/adr/0018-parking.md."""

from dataclasses import dataclass

import httpx
import psycopg
from psycopg.errors import IdleInTransactionSessionTimeout, InvalidSchemaName, ReadOnlySqlTransaction, UndefinedTable

from schemas.registry import RegistryUnavailable
from service.schema_lookup import SchemaWanted


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
    """End the process and handle nothing further: going on would lose something, or make a view wrong."""

    reason: str


class TooManyParked(Exception):
    """So many orders fail that it is not them."""


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


def judge_postgres(error: psycopg.Error) -> Retry | Park | Stop:
    """What an error of Postgres calls for."""
    # Not its detail: that shows the row, and with it whoever the row is about.
    said = " ".join((error.diag.message_primary or str(error)).split())
    if isinstance(error, psycopg.DataError) or (error.sqlstate or "")[:2] in _REFUSED:
        return Park(f"Postgres refuses it: {said}")
    if isinstance(error, _PASSING):
        return Retry(f"Postgres: {said}", "disk_full" if isinstance(error, psycopg.errors.DiskFull) else "postgres")
    if isinstance(error, UndefinedTable | InvalidSchemaName):
        return Stop(f"the database lacks a table: {said}; run: orderlog migrate")
    return Stop(f"a batch cannot be applied: {error!r}")


def judge(error: Exception) -> Retry | Park | Stop:
    """What a failure calls for in any loop that moves events; each judges what only it can meet by itself, first."""
    match error:
        case RegistryUnavailable() | httpx.HTTPError() | SchemaWanted():
            return Retry(str(error), "registry")
        case TooManyParked():
            return Stop(str(error))
        case psycopg.Error():
            return judge_postgres(error)
        case MemoryError():
            return Stop("there is no memory left")
        case _:  # whatever a fold or a handler stumbles over
            return Park(f"{type(error).__name__}: {error}")
