"""Which failure calls for what."""

import httpx
import psycopg
import pytest
from psycopg import errors

from eventlog.positions import Position
from projections.failures import Hole, judge
from projections.view import EventFailed
from schemas.codec import DecodeError
from schemas.registry import RegistryUnavailable
from service.schema_lookup import SchemaWanted
from service.verdicts import Park, Retry, Stop, TooManyParked

PASSING = (
    errors.AdminShutdown(),
    errors.CannotConnectNow(),
    errors.DeadlockDetected(),
    errors.DiskFull(),
    errors.IdleInTransactionSessionTimeout(),
    errors.OutOfMemory(),
    errors.ReadOnlySqlTransaction(),
    errors.SerializationFailure(),
    errors.TooManyConnections(),
    psycopg.InterfaceError("the connection is closed"),
    psycopg.OperationalError("server closed the connection unexpectedly"),
    RegistryUnavailable("no answer"),
    httpx.HTTPError("500"),
    SchemaWanted(7),
)
THE_EVENTS_FAULT = (
    errors.CheckViolation(),
    errors.NotNullViolation(),
    errors.NumericValueOutOfRange(),
    errors.ProgramLimitExceeded(),  # a value too large for an index
    errors.UniqueViolation(),
    psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"),
    DecodeError("the value does not start with the magic byte"),
    EventFailed(Position(0, 1), "cannot be applied"),
    KeyError("sku"),
    OverflowError(),
    TypeError(),
    ValueError(),
)
NOBODYS = (
    Hole("partition 0"),
    MemoryError(),
    TooManyParked("partition 0"),
    errors.InFailedSqlTransaction(),
    errors.InsufficientPrivilege(),
    errors.SyntaxError(),
    errors.UndefinedTable(),
)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [(e, Retry) for e in PASSING] + [(e, Park) for e in THE_EVENTS_FAULT] + [(e, Stop) for e in NOBODYS],
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else one.__name__,
)
def test_verdict(error: Exception, verdict: type) -> None:
    assert isinstance(judge(error), verdict)


def test_a_full_disk_and_a_missing_table_are_named() -> None:
    full, missing = judge(errors.DiskFull("could not extend file")), judge(errors.UndefinedTable("no relation x"))
    assert full == Retry("Postgres: could not extend file", "disk_full")
    assert missing.reason.endswith("run: orderlog migrate")
