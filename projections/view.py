"""What a view is to the worker that keeps it."""

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import MetaData

from eventlog.recorded import RecordedEvent
from projections.bulk import Connection


class View(Protocol):
    """A view in Postgres. `version` goes up when its fold or tables change: it must then be made anew.

    `handles` are the event types it folds; it is given no others.
    """

    name: str
    version: int
    handles: frozenset[type]
    metadata: MetaData

    async def apply(self, connection: Connection, schema: str, events: Sequence[RecordedEvent]) -> None:
        """Fold `events` of one partition, in order, into the tables of `schema`, within the caller's transaction.

        Raises ValueError at an event that does not follow what the tables hold.
        """
