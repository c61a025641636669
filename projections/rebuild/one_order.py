"""One order's rows made again, in the live generation: for a row that was damaged, without a rebuild."""

from functools import partial
from uuid import UUID

from eventlog.partitioning import order_key, partition_of
from eventlog.reader import log_ends, read_partition
from eventlog.recorded import KafkaRecord, RecordedEvent, TermFilter, read_record
from eventlog.settings import Settings
from projections.checkpoints import announce, lock
from projections.generations import Generation, needs_rebuild
from projections.rebuild import records
from projections.schema_lookup import SchemaLookup
from projections.table_view import AnyView, TableView
from projections.view import RemakesOrders
from schemas.codec import Codec
from schemas.errors import BadInput
from schemas.events import WriterElected
from schemas.topics import ORDER_EVENTS
from service.database import Connection, connect


class Remake:
    """Makes an order's rows again in the live generation of `view`."""

    def __init__(self, settings: Settings, codec: Codec, schemas: SchemaLookup, view: AnyView) -> None:
        self._settings = settings
        self._topic = settings.topic(ORDER_EVENTS.name)
        self._codec = codec
        self._schemas = schemas
        self._view = view

    async def remake(self, order_id: UUID) -> int:
        """Make them again from the log; the number of events. Raises BadInput, EventFailed, psycopg.Error.

        Most of the log is read before the order's partition is held, so live work waits for the rest only.
        """
        view = self._view
        if not isinstance(view, RemakesOrders) or isinstance(view, TableView):
            raise BadInput(f"{view.name} is made of sums over all orders: rebuild it whole")
        partition = partition_of(order_id, self._settings.partitions)
        end = (await log_ends(self._settings.kafka_bootstrap, self._topic)).get(partition, 0)
        found, terms = list[RecordedEvent](), TermFilter()
        await self._read(order_id, partition, 0, end, found, terms)
        async with await connect(self._settings.postgres_url) as connection:
            generation = await self._live(connection)
            async with connection.transaction():
                places, held = await lock(connection, generation, [partition])
                if order_id in held.get(partition, ()):
                    raise BadInput(f"events of order {order_id} are parked: redrive them with orderlog dlq instead")
                reached = places[partition].next_offset
                await self._read(order_id, partition, end, reached, found, terms)
                events = [event for event in found if event.position.offset < reached]
                if not events:
                    raise BadInput(f"the log has no order {order_id}, as far as {view.name} has read it")
                handled = [event for event in events if type(event.event) in view.handles]
                belongs = partial(partition_of, partitions=self._settings.partitions)
                await view.remake(connection, generation.schema, order_id, handled, belongs)
                await announce(connection, generation, partition)
        return len(events)

    async def _live(self, connection: Connection) -> Generation:
        record = await records.newest(connection, self._view.name, "live")
        if record is None:
            raise BadInput(f"{self._view.name} was not made yet: its worker makes it when it starts")
        if record.version != self._view.version:
            raise BadInput(needs_rebuild(self._view, record.version))
        return record.generation

    async def _read(
        self, order_id: UUID, partition: int, start: int, end: int, found: list[RecordedEvent], terms: TermFilter
    ) -> None:
        """Add the order's events of a stretch of its partition to `found`, but for those of deposed writers."""
        key = order_key(order_id)
        batches = read_partition(self._settings.kafka_bootstrap, self._topic, partition, start, end)
        async for batch in batches:
            for record in batch:
                if record.key == key or record.key is None:  # barriers have none
                    recorded = await self._schemas.around(partial(self._decoded, partition, record))
                    if terms.admits(recorded) and not isinstance(recorded.event, WriterElected):
                        found.append(recorded)

    async def _decoded(self, partition: int, record: KafkaRecord) -> RecordedEvent:
        return read_record(self._codec, partition, record)
