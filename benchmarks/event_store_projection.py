"""A peer of the rebuild: pyeventsourcing's projection of its own events into a Postgres table, a row per order.

Set up as its documentation has it: one row of tracking and one of the view change in one transaction for each event.
The view is a part of ours: status and total of an order, without lines, timeline, texts and customers.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL, Identifier

from benchmarks.event_store import Orders, orders
from benchmarks.orders import order
from eventlog.settings import Settings

_ORDERS, _THREADS = 5_000, 8


class OrdersTable(PostgresTrackingRecorder):  # type: ignore[misc]  # not installed where types are checked
    """The view's table, beside what tells how far it has come."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table = SQL("{0}.order_rows").format(Identifier(self.datastore.schema))
        create = SQL(
            "CREATE TABLE IF NOT EXISTS {0} (id uuid PRIMARY KEY, customer_id text, status text, total bigint)"
        )
        self.sql_create_statements.append(create.format(self._table))

    def add(self, tracking: Tracking, order_id: Any, customer_id: str) -> None:
        """A new order."""
        insert = SQL("INSERT INTO {0} VALUES (%s, %s, 'open', 0)").format(self._table)
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(insert, (order_id, customer_id), prepare=True)

    def confirm(self, tracking: Tracking, order_id: Any, total: int) -> None:
        """An order was confirmed."""
        update = SQL("UPDATE {0} SET status = 'confirmed', total = %s WHERE id = %s").format(self._table)
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(update, (total, order_id), prepare=True)


class OrdersProjection(Projection[OrdersTable]):  # type: ignore[misc]
    """What each event does to the table."""

    name = "orders_projection"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Apply one event."""
        if hasattr(domain_event, "total"):
            self.view.confirm(tracking, domain_event.originator_id, domain_event.total)
        else:
            self.view.add(tracking, domain_event.originator_id, domain_event.customer_id)


def rate(settings: Settings) -> float:
    """Events per second from the first to the last of those that were there before."""
    app = orders(settings, _THREADS, synchronous=False)
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(app.place_and_confirm, [order() for _ in range(_ORDERS)]))
    began = time.perf_counter()
    with ProjectionRunner(
        application_class=Orders, projection_class=OrdersProjection, view_class=OrdersTable, env=dict(app.env)
    ) as runner:
        runner.wait(app.recorder.max_notification_id(), timeout=300)
    taken = time.perf_counter() - began
    app.close()
    return 2 * _ORDERS / taken
