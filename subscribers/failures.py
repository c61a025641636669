"""Which verdict (service/verdicts.py) a failure to take messages in calls for: see docs/adr/0027-subscribers.md."""

import httpx
import psycopg

from schemas.registry import RegistryUnavailable
from service.schema_lookup import SchemaWanted
from service.verdicts import Park, Retry, Stop, judge_postgres


class TakenMeanwhile(Exception):
    """Another process of this subscriber took the same event in at the same time."""


class TooManyParked(Exception):
    """So many orders fail that it is not them."""


def judge(error: Exception) -> Retry | Park | Stop:
    """What a failure to take messages in calls for."""
    match error:
        case RegistryUnavailable() | httpx.HTTPError() | SchemaWanted():
            return Retry(str(error), "registry")
        case TakenMeanwhile():
            return Retry(str(error), "postgres")
        case TooManyParked():
            return Stop(str(error))
        case psycopg.Error():
            return judge_postgres(error)
        case MemoryError():
            return Stop("there is no memory left")
        case _:  # whatever a handler stumbles over
            return Park(f"{type(error).__name__}: {error}")


def is_passing(error: BaseException) -> bool:
    """Whether the same work will do, later."""
    return isinstance(error, Exception) and isinstance(judge(error), Retry)


def is_fault(error: BaseException) -> bool:
    """Whether a message is to blame."""
    return isinstance(error, Exception) and isinstance(judge(error), Park)
