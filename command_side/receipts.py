"""The answer a command got, kept so that a repeat of its key gets the same one."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was answered to the request of this `fingerprint`, recorded at `time`."""

    fingerprint: str
    version: int
    offset: int
    time: datetime


# A key belongs to one order: (order id, command id).
ReceiptKey = tuple[UUID, str]
