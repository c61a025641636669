"""The `orders` view against the log: its five tables, as one snapshot of Postgres has them.

The snapshot holds positions and rows of one moment, so that a view that moves can be verified. In memory are the
orders of one partition at a time, and the customers of it.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any
from uuid import UUID

from psycopg import sql

from eventlog.partitioning import partition_of
from projections.verifying.digests import Row, combined, digest_of, written
from projections.verifying.log_events import Reading, Told, read_log
from projections.verifying.order_state import Orders, OrderState
from projections.verifying.report import Advance, Difference, Report, Source, first_difference
from projections.verifying.snapshot import Live, snapshot
from service.database import Connection

COLUMNS = {
    "orders": (
        *("order_id", "customer_id", "email", "currency", "status", "total", "paid", "refunded", "shipping_address"),
        *("reason", "carrier", "tracking", "version", "placed_at", "updated_at"),
    ),
    "order_lines": ("order_id", "position", "sku", "quantity", "unit_price", "returned"),
    "order_texts": ("order_id", "source", "text"),
    "order_events": (
        *("order_id", "version", "type", "time", "recorded_at", "partition", "offset", "command_id"),
        *("correlation_id", "data"),
    ),
    "customers": (
        *("partition", "customer_id", "currency", "orders", "paid", "refunded", "returned_pieces", "returned_amount"),
        "last_order_at",
    ),
}
_KEYS = {"orders": 1, "order_lines": 2, "order_texts": 2, "order_events": 2, "customers": 3}
_OF_ORDERS = ("orders", "order_lines", "order_texts", "order_events")
_AT_ONCE = 2_000
_IDS_AT_ONCE = 10_000

Ids = tuple[int, int]
"""How many ids, and their sum modulo 2^128."""


@asynccontextmanager
async def verifying_orders(source: Source) -> AsyncIterator["OrdersVerification"]:
    """A snapshot of the view to verify. Raises what `snapshot` does."""
    async with snapshot(source, "orders") as (connection, live):
        verification = OrdersVerification(source, connection, live)
        await verification.count_ids()
        yield verification


class OrdersVerification:
    """See Verification."""

    def __init__(self, source: Source, connection: Connection, live: Live) -> None:
        self.positions = live.positions
        self._source = source
        self._connection = connection
        self._live = live
        self._ids: dict[int, Ids] = {}

    async def count_ids(self) -> None:
        """Look once which orders have rows at all, for those that the log does not have."""
        found: dict[int, Ids] = defaultdict(lambda: (0, 0))
        async for order_id, partition in self._all_ids():
            count, total = found[partition]
            found[partition] = (count + 1, (total + order_id.int) % 2**128)
        self._ids = found

    async def partition(self, partition: int, advance: Advance) -> Report:
        """See Verification."""
        orders = await self._fold(partition, advance)
        expected, found, difference = await self._compare(partition, orders)
        surplus, extra = await self._beside(partition, orders)
        customers = list(customer_rows(partition, orders.by_id.values()))
        stored = await self._rows("customers", "partition", [partition])
        expected, found = combined(expected, digest_of(customers)), combined(found, surplus, digest_of(stored))
        if difference is None and extra is None and expected != found:
            difference = first_difference(_of_customers(customers, stored), COLUMNS, _KEYS, customers, stored)
        parked = self._live.parked.get(partition, 0)
        counts = (self.positions.get(partition, 0), len(orders.by_id))
        return Report("orders", partition, *counts, written(expected), written(found), parked, difference or extra)

    async def _fold(self, partition: int, advance: Advance, only: UUID | None = None) -> Orders:
        orders = Orders(partition)
        async for count, told in self._read(partition):
            for state, event in orders.take([one for one in told if only in (None, one.order_id)]):
                state.told = combined(state.told, digest_of([event_row(partition, event)]))
            advance(count)
        return orders

    def _read(self, partition: int) -> AsyncIterator[tuple[int, list[Told]]]:
        reading = Reading(self._source.decoder, partition, self._live.aside.get(partition, frozenset()))
        bootstrap, end = self._source.settings.kafka_bootstrap, self.positions.get(partition, 0)
        return read_log(bootstrap, self._source.topic, reading, partition, end)

    async def _compare(self, partition: int, orders: Orders) -> tuple[int, int, Difference | None]:
        """Digests of the rows of all orders of the log, expected and found, and the first difference."""
        expected = found = 0
        difference: Difference | None = None
        states = iter(orders.by_id.values())
        while chunk := list(islice(states, _AT_ONCE)):
            stored = await self._rows_of([state.order_id for state in chunk])
            for state in chunk:
                wanted = combined(digest_of(order_rows(state)), state.told)
                given = digest_of(stored.get(state.order_id, []))
                if wanted != given and difference is None:
                    difference = await self._explain(partition, state, stored.get(state.order_id, []))
                expected, found = combined(expected, wanted), combined(found, given)
        return expected, found, difference

    async def _explain(self, partition: int, state: OrderState, stored: list[Row]) -> Difference:
        wanted = list(order_rows(state))
        async for _, told in self._read(partition):
            wanted += [event_row(partition, one) for one in told if one.order_id == state.order_id]
        return first_difference(f"order {state.order_id}", COLUMNS, _KEYS, wanted, stored)

    async def _beside(self, partition: int, orders: Orders) -> tuple[int, Difference | None]:
        """The digest of rows of orders that the log does not have, and the first such order by its id."""
        total = sum(order_id.int for order_id in orders.by_id) % 2**128
        if self._ids.get(partition, (0, 0)) == (len(orders.by_id), total):
            return 0, None
        extra = [one async for one, where in self._all_ids() if where == partition and one not in orders.by_id]
        digest, difference = 0, None
        for order_id, rows in sorted((await self._rows_of(extra)).items()):
            digest = combined(digest, digest_of(rows))
            difference = difference or first_difference(f"order {order_id}", COLUMNS, _KEYS, [], rows)
        return digest, difference

    async def _all_ids(self) -> AsyncIterator[tuple[UUID, int]]:
        """Every order that has a row in any table, and its partition."""
        schema = self._live.schema
        tables = (sql.SQL("SELECT order_id FROM {}").format(sql.Identifier(schema, table)) for table in _OF_ORDERS)
        async with self._connection.cursor("order_ids", scrollable=False) as cursor:
            await cursor.execute(sql.SQL(" UNION ").join(tables))
            while rows := await cursor.fetchmany(_IDS_AT_ONCE):
                for (order_id,) in rows:
                    yield order_id, partition_of(order_id, self._source.settings.partitions)

    async def _rows_of(self, order_ids: Sequence[UUID]) -> dict[UUID, list[Row]]:
        found: dict[UUID, list[Row]] = defaultdict(list)
        for table in _OF_ORDERS:
            for row in await self._rows(table, "order_id", order_ids):
                found[row[1][0]].append(row)
        return found

    async def _rows(self, table: str, column: str, values: Sequence[Any]) -> list[Row]:
        names = sql.SQL(", ").join(sql.Identifier(name) for name in COLUMNS[table])
        query = sql.SQL("SELECT {} FROM {} WHERE {} = ANY(%s)")
        where = (sql.Identifier(self._live.schema, table), sql.Identifier(column))
        async with self._connection.cursor(binary=True) as cursor:
            await cursor.execute(query.format(names, *where), [list(values)])
            return [(table, row) for row in await cursor.fetchall()]


def order_rows(state: OrderState) -> Iterator[Row]:
    """The rows of an order that say how it is now."""
    money = (state.currency, state.status, state.total, state.paid, state.refunded)
    why = (state.address, state.reason, state.carrier, state.tracking)
    times = (state.version, state.placed_at, state.updated_at)
    yield "orders", (state.order_id, state.customer_id, state.email, *money, *why, *times)
    for at, line in enumerate(state.lines):
        yield "order_lines", (state.order_id, at, line.sku, line.quantity, line.price, line.returned)
    for source, text in state.texts.items():
        yield "order_texts", (state.order_id, source, text)


def event_row(partition: int, told: Told) -> Row:
    """The row of the timeline that an event leaves."""
    what, when = (told.order_id, told.version, told.name), (told.time, told.recorded_at)
    where, why = (partition, told.offset), (told.command_id, told.correlation_id)
    return "order_events", (*what, *when, *where, *why, told.content)


def customer_rows(partition: int, states: Iterable[OrderState]) -> Iterator[Row]:
    """What the orders of a partition come to, for each customer and currency."""
    sums: dict[tuple[str, str], list[Any]] = {}
    for state in states:
        of = sums.setdefault((state.customer_id, state.currency), [0, 0, 0, 0, 0, state.placed_at])
        for at, one in enumerate((1, state.paid, state.refunded, *state.returned)):
            of[at] += one
        of[5] = max(of[5], state.placed_at)
    for customer, found in sums.items():
        yield "customers", (partition, *customer, *found)


def _of_customers(expected: Iterable[Row], found: Iterable[Row]) -> str:
    """The first customer whose rows differ."""
    wanted, given = ({tuple(row[1][:3]): tuple(row[1]) for row in rows} for rows in (expected, found))
    _, customer, currency = min(key for key in wanted.keys() | given.keys() if wanted.get(key) != given.get(key))
    return f"customer {customer} in {currency}"
