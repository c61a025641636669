"""A peer: pyeventsourcing, the best known event sourcing library for Python, with its Postgres infrastructure.

Set up to be as fast as it can be: its Postgres functions on, aggregates cached and not read again (one process
writes), prepared statements as they are. With `synchronous_commit` on, as Postgres is delivered, an event is on the
disk when `save` returns; off, it may be lost with the machine, as it may with one Kafka broker.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psycopg
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from benchmarks.orders import order
from command_side.domain.commands import PlaceOrder
from eventlog.settings import Settings

_THREADS = (1, 2, 4, 8, 16)
_TRIAL, _ORDERS, _WARM_UP = 1_000, 5_000, 200


class Order(Aggregate):  # type: ignore[misc]  # not installed where types are checked
    """An order that can be placed and confirmed, its events with what ours have in them."""

    @event("Placed")  # type: ignore[untyped-decorator]
    def __init__(self, customer_id: str, email: str, currency: str, lines: list[list[object]], address: list[str]):
        self.customer_id = customer_id
        self.email = email
        self.currency = currency
        self.lines = lines
        self.address = address
        self.total = 0
        self.status = "open"

    @event("Confirmed")  # type: ignore[untyped-decorator]
    def confirm(self, total: int) -> None:
        """From here on it is binding."""
        if self.status != "open":
            raise ValueError(f"an order that is {self.status} cannot be confirmed")
        self.total = total
        self.status = "confirmed"


class Orders(Application):  # type: ignore[misc]
    """The commands: each loads what it needs and saves what it did."""

    def place(self, command: PlaceOrder) -> UUID:
        """Place an order; its id."""
        a = command.shipping_address
        lines = [[line.sku, line.quantity, line.unit_price] for line in command.lines]
        address = [a.name, a.street, a.city, a.postal_code, a.country]
        placed = Order(command.customer_id, command.email, command.currency, lines, address)
        self.save(placed)
        return UUID(str(placed.id))

    def confirm(self, order_id: UUID) -> None:
        """Confirm an open order."""
        found = self.repository.get(order_id)
        found.confirm(sum(quantity * price for _, quantity, price in found.lines))
        self.save(found)

    def place_and_confirm(self, command: PlaceOrder) -> None:
        """The life that is measured."""
        self.confirm(self.place(command))


def orders(settings: Settings, connections: int, *, synchronous: bool) -> Orders:
    """The application on a new database, with a pool of `connections`. To be closed."""
    where, name = urlsplit(settings.postgres_url), f"peer_{uuid4().hex[:8]}"
    with psycopg.connect(where._replace(path="/postgres").geturl(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        if not synchronous:
            connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    return Orders(
        {
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": name,
            "POSTGRES_HOST": where.hostname,
            "POSTGRES_PORT": str(where.port),
            "POSTGRES_USER": where.username,
            "POSTGRES_PASSWORD": where.password or "",
            "POSTGRES_POOL_SIZE": str(connections),
            "POSTGRES_MAX_OVERFLOW": "0",
            "POSTGRES_ENABLE_DB_FUNCTIONS": "y",
            "AGGREGATE_CACHE_MAXSIZE": "10000",
            "AGGREGATE_CACHE_FASTFORWARD": "n",
        }
    )


def fastest(settings: Settings, *, synchronous: bool) -> tuple[float, int]:
    """Orders placed and confirmed per second, by the number of threads (and connections) that did most in a trial."""
    trial = {threads: _rate(settings, threads, _TRIAL, synchronous=synchronous) for threads in _THREADS}
    best = max(trial, key=lambda threads: trial[threads])
    return _rate(settings, best, _ORDERS, synchronous=synchronous), best


def _rate(settings: Settings, threads: int, count: int, *, synchronous: bool) -> float:
    app, commands = orders(settings, threads, synchronous=synchronous), [order() for _ in range(count)]
    try:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(app.place_and_confirm, commands[:_WARM_UP]))
            start = time.perf_counter()
            list(pool.map(app.place_and_confirm, commands))
            return count / (time.perf_counter() - start)
    finally:
        app.close()
