"""The answer a command got, kept so that a repeat of its key gets the same one."""

from datetime import datetime
from typing import NamedTuple


class Receipt(NamedTuple):
    """What was answered to the request of this `fingerprint`, recorded at `time`."""

    fingerprint: str
    version: int
    offset: int
    time: datetime


# Orders are looked up by the number their id is: a UUID's own hash is computed in Python, each time.
OrderKey = int
# A key belongs to one order.
ReceiptKey = tuple[OrderKey, str]
