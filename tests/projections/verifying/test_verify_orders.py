"""`orderlog verify orders` on a real worker's view: it agrees while both move, and finds and names what was planted."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from eventlog.partitioning import partition_of
from eventlog.settings import Settings
from projections.orders.tables import metadata
from projections.verifying.orders import COLUMNS
from schemas.events import OrderConfirmed, OrderDelivered, OrderEvent, OrderShipped, PaymentRecorded
from tests.kit.worlds import Worker, eventually, prepare
from tests.projections.histories import history, placed
from tests.projections.log import LogWriter, log_writer
from tests.projections.running import caught_up, cli_told, execute, running
from tests.projections.sabotage import SabotagedWorker
from tests.projections.verifying.kit import differences, verdict


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> Iterator[Worker]:
    process = Worker(settings, tmp_path / "worker.log")
    yield process
    process.kill()


def test_every_column_of_the_view_is_compared() -> None:
    """But computed ones, which Postgres itself makes of others."""
    columns = {
        name: {column.name for column in table.columns if column.computed is None}
        for name, table in metadata.tables.items()
    }
    assert columns == {name: set(names) for name, names in COLUMNS.items()}


async def test_it_agrees_with_a_view_that_moves(settings: Settings, worker: Worker) -> None:
    codec, ending = await prepare(settings), asyncio.Event()

    async def traffic(writer: LogWriter) -> None:
        random = Random(5)
        while not ending.is_set():
            await writer.append([event for _ in range(20) for event in history(random)])
            with suppress(TimeoutError):
                await asyncio.wait_for(ending.wait(), 0.1)

    async with log_writer(settings, codec) as writer:
        for partition in range(settings.partitions):
            await writer.elect(2, partition)
        moving = asyncio.create_task(traffic(writer))
        with running(worker):
            await begun(settings, worker)
            seen: set[int] = set()
            while len(seen) < 4:  # whatever the moment
                found = await verdict(settings, "orders")
                assert found.agrees, found.differences
                seen.add(sum(one["next_offset"] for one in found.partitions.values()))
            ending.set()
            await moving
            # What a deposed writer appends is nobody's.
            deposed = placed()
            await writer.append([deposed, OrderConfirmed(deposed.order_id, 998)], term=1)
            await caught_up(settings, worker)
            assert (await verdict(settings, "orders")).agrees


async def begun(settings: Settings, worker: Worker) -> None:
    def in_all_partitions() -> bool:
        with psycopg.connect(settings.postgres_url) as connection:
            row = connection.execute("SELECT count(*) FROM orderlog.checkpoints WHERE next_offset > 0").fetchone()
        return bool(row and row[0] == settings.partitions)

    await eventually(in_all_partitions, worker)


PLANTED: list[tuple[str, str, dict[str, Any]]] = [
    ("orders", "status = 'open'", {"field": "status", "found": "open", "expected": "delivered"}),
    ("orders", "updated_at = updated_at + interval '1 microsecond'", {"table": "orders", "field": "updated_at"}),
    ("orders", 'shipping_address = shipping_address || \'{"city": "Paris"}\'', {"field": "shipping_address"}),
    ("order_lines", "quantity = 7", {"table": "order_lines[0]", "field": "quantity", "expected": 2, "found": 7}),
    ("order_texts", "text = 'x'", {"table": "order_texts[0]", "field": "text", "found": "x"}),
    ("order_events", "data = '{\"total\": 1}'", {"table": "order_events[1]", "field": "data"}),
    ("customers", "paid = paid + 1", {"of": "customer ada in EUR", "field": "paid", "expected": 998, "found": 999}),
]


async def test_a_difference_in_a_row_is_found_and_named(settings: Settings, worker: Worker) -> None:
    order_id = await one_order(settings, worker)
    for table, change, wanted in PLANTED:
        which = "customer_id = 'ada'" if table == "customers" else f"order_id = '{order_id}'"
        if table == "order_events":
            which += " AND version = 1"
        if table == "order_texts":
            which += " AND source = 0"
        with changed(settings, table, which, f"UPDATE TABLE SET {change} WHERE {which}"):
            (found,) = await differences(settings, "orders")
        assert {"of": f"order {order_id}", **wanted}.items() <= found.items(), found
    assert (await verdict(settings, "orders")).agrees


async def test_rows_that_are_missing_or_too_many_are_found(settings: Settings, worker: Worker) -> None:
    order_id = await one_order(settings, worker)
    for table in ("orders", "order_lines", "order_events", "order_texts"):
        which = f"order_id = '{order_id}'"
        with changed(settings, table, which, f"DELETE FROM TABLE WHERE {which}"):
            (missing,) = await differences(settings, "orders")
        assert missing["of"] == f"order {order_id}"
        assert missing["table"].startswith(table)
        assert missing["found"] is None
    stranger = next(one for one in iter(uuid4, None) if partition_of(one, settings.partitions) == 1)
    schema = schema_of(settings)
    execute(settings, f"INSERT INTO {schema}.order_lines VALUES ('{stranger}', 0, 'X', 1, 1, 0)")
    (extra,) = await differences(settings, "orders")
    assert (extra["of"], extra["expected"]) == (f"order {stranger}", None)
    assert extra["found"]["sku"] == "X"
    code, out, _ = await asyncio.to_thread(cli_told, settings, "verify", "orders")
    assert code == 1
    assert f"order {stranger}, order_lines[0]" in out
    assert "orders differs in 1 of 3 partitions" in out


async def test_a_difference_in_the_fold_is_found(settings: Settings, tmp_path: Path) -> None:
    """The worker's code takes a payment for one cent more."""
    wrong = """
from msgspec.structs import replace
from projections.orders import view
fold = view.fold
def one_more(row, event, version, at):
    after = fold(row, event, version, at)
    return replace(after, paid=after.paid + 1) if type(event).__name__ == "PaymentRecorded" else after
view.fold = one_more
"""
    codec, worker = await prepare(settings), SabotagedWorker(settings, tmp_path / "worker.log", wrong)
    order = placed()
    life: list[OrderEvent] = [order, OrderConfirmed(order.order_id, 998), PaymentRecorded(order.order_id, 998, "pay-1")]
    async with log_writer(settings, codec) as writer:
        await writer.append([*life, *(placed() for _ in range(30))])
    with running(worker):
        await caught_up(settings, worker)
    (found,) = await differences(settings, "orders")
    assert (found["of"], found["table"], found["field"]) == (f"order {order.order_id}", "orders", "paid")
    assert (found["expected"], found["found"]) == (998, 999)


async def test_parked_orders_are_compared_as_they_were_before(settings: Settings, worker: Worker) -> None:
    codec, order = await prepare(settings), placed(customer_id="ada")
    async with log_writer(settings, codec) as writer:
        await writer.append([order, placed(customer_id="ada")])
        await writer.append_encoded(b"\x00\x00\x00\x03\xe7nonsense", order.order_id, 2)
        with running(worker):
            await caught_up(settings, worker)
    found = await verdict(settings, "orders")
    assert found.agrees, found.differences
    assert sum(one["parked"] for one in found.partitions.values()) == 1
    _, out, _ = await asyncio.to_thread(cli_told, settings, "verify", "orders")
    assert "note: 1 orders are parked" in out


async def test_what_cannot_be_verified_is_one_line(settings: Settings) -> None:
    code, _, err = await asyncio.to_thread(cli_told, settings, "verify", "dinner")
    assert (code, err.count("\n")) == (2, 1)
    assert "there is: orders, sales" in err
    await prepare(settings)
    code, _, err = await asyncio.to_thread(cli_told, settings, "verify", "orders")
    assert (code, err.count("\n")) == (1, 1)
    assert "run: orderlog project orders" in err


async def one_order(settings: Settings, worker: Worker) -> UUID:
    """The id of an order that was delivered, in a view of it and some others that is no longer written."""
    codec, order = await prepare(settings), placed(customer_id="ada")
    life: list[OrderEvent] = [OrderConfirmed(order.order_id, 998), PaymentRecorded(order.order_id, 998, "pay-1")]
    async with log_writer(settings, codec) as writer:
        await writer.append([order, *life, OrderShipped(order.order_id, "DHL", "JD1"), OrderDelivered(order.order_id)])
        await writer.append([event for seed in range(30) for event in history(Random(seed))])
    with running(worker):
        await caught_up(settings, worker)
    assert (await verdict(settings, "orders")).agrees
    return order.order_id


def schema_of(settings: Settings) -> str:
    with psycopg.connect(settings.postgres_url) as connection:
        row = connection.execute("SELECT generation FROM orderlog.generations WHERE projection = 'orders'").fetchone()
    assert row
    return f"views_g{row[0]}"


class changed:
    """Rows of a table that match `which` are changed by `statement` while this is entered."""

    def __init__(self, settings: Settings, table: str, which: str, statement: str) -> None:
        self._settings, self._statement = settings, statement
        self._table, self._which = f"{schema_of(settings)}.{table}", which
        self._names = ", ".join(f'"{name}"' for name in COLUMNS[table])

    def __enter__(self) -> None:
        with self._connect() as connection:
            connection.execute(f"CREATE TABLE kept AS SELECT {self._names} FROM {self._table} WHERE {self._which}")
            connection.execute(self._statement.replace("TABLE", self._table))

    def __exit__(self, *_: object) -> None:
        with self._connect() as connection:
            connection.execute(f"DELETE FROM {self._table} WHERE {self._which}")
            connection.execute(f"INSERT INTO {self._table} ({self._names}) SELECT * FROM kept")
            connection.execute("DROP TABLE kept")

    def _connect(self) -> Any:
        return psycopg.connect(self._settings.postgres_url, row_factory=dict_row)
