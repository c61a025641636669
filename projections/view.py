"""What a view is to the worker that keeps it."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable
from uuid import UUID

from sqlalchemy import MetaData

from eventlog.messages import Message
from eventlog.positions import Position
from eventlog.recorded import RecordedEvent
from schemas.topics import Topic
from service.database import Connection


class EventFailed(Exception):
    """One event cannot be decoded or applied, and trying again would not help; `at` is its place in the log."""

    def __init__(self, at: Position, why: str) -> None:
        super().__init__(f"the record at {at} {why}")
        self.at = at


class View(Protocol):
    """A view in Postgres. `version` goes up when its fold or tables change: it must then be made anew.

    `handles` are the event types it folds; it is given no others.
    """

    name: str
    version: int
    handles: frozenset[type]
    metadata: MetaData

    async def apply(
        self, connection: Connection, schema: str, events: Sequence[RecordedEvent]
    ) -> Sequence[Message] | None:
        """Fold `events` of one partition, in order, into the tables of `schema`, within the caller's transaction.

        Raises EventFailed at an event that does not follow what the tables hold; whatever it raises, it may be called
        again within the same transaction, with some of the events, after a savepoint from before it. Temporary
        tables are dropped in between. It does nothing outside of Postgres: what there is to publish, a view that
        Publishes returns.
        """


@runtime_checkable
class Publishes(Protocol):
    """A view that tells the world, on `publishes`, what came of its events. What is out cannot be made anew.

    So it has one generation for good, and nothing rebuilds it.
    """

    publishes: tuple[Topic, ...]


@runtime_checkable
class RemakesOrders(Protocol):
    """A view that can also make the rows of one order again, because it knows which rows are its."""

    async def remake(
        self,
        connection: Connection,
        schema: str,
        order_id: UUID,
        events: Sequence[RecordedEvent],
        partition_of: Callable[[UUID], int],
    ) -> None:
        """Replace what the tables of `schema` have of an order by the fold of `events`, all of its.

        Within the caller's transaction, while no batch of the order's partition is applied. `partition_of` says in
        which partition an order is. Raises EventFailed.
        """
