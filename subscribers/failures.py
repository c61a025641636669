"""Which verdict (service/verdicts.py) a failure to take messages in calls for: see docs/adr/0027-subscribers.md."""

from service import verdicts
from service.verdicts import Park, Retry, Stop


class TakenMeanwhile(Exception):
    """Another process of this subscriber took the same event in at the same time."""


def judge(error: Exception) -> Retry | Park | Stop:
    """What a failure to take messages in calls for."""
    if isinstance(error, TakenMeanwhile):
        return Retry(str(error), "postgres")
    return verdicts.judge(error)


def is_passing(error: BaseException) -> bool:
    """Whether the same work will do, later."""
    return isinstance(error, Exception) and isinstance(judge(error), Retry)


def is_fault(error: BaseException) -> bool:
    """Whether a message is to blame."""
    return isinstance(error, Exception) and isinstance(judge(error), Park)
