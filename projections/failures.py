"""Which verdict (service/verdicts.py) a failure to read or to apply events calls for: see docs/adr/0018-parking.md."""

from projections.publishing import NotPublished
from projections.view import EventFailed
from service import verdicts
from service.verdicts import Park, Retry, Stop


class Hole(Exception):
    """Records are missing between the view's position and what the log delivered."""


class TableUnreadable(Exception):
    """RocksDB does not give what it holds; no event is to blame."""


def judge(error: Exception) -> Retry | Park | Stop:
    """What a failure to read or to apply events calls for."""
    match error:
        case NotPublished():
            return Retry(str(error), "kafka")
        case Hole() | TableUnreadable():
            return Stop(str(error))
        case EventFailed():
            return Park(str(error))
        case _:
            return verdicts.judge(error)
