"""Which verdict (service/verdicts.py) a failure to read or to apply events calls for: see docs/adr/0018-parking.md."""

import httpx
import psycopg

from projections.publishing import NotPublished
from projections.view import EventFailed
from schemas.registry import RegistryUnavailable
from service.schema_lookup import SchemaWanted
from service.verdicts import Park, Retry, Stop, judge_postgres


class Hole(Exception):
    """Records are missing between the view's position and what the log delivered."""


class TooManyParked(Exception):
    """So many orders fail that it is not them."""


class TableUnreadable(Exception):
    """RocksDB does not give what it holds; no event is to blame."""


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
            return judge_postgres(error)
        case MemoryError():
            return Stop("there is no memory left")
        case _:  # whatever a fold stumbles over
            return Park(f"{type(error).__name__}: {error}")
