"""The `sales` tables against the log: rows of a partition as its worker's RocksDB has them, by the page /rows.

The rows of a partition are those of one moment. They go to a temporary file while the log is folded; in memory are
the orders of one partition at a time, and its sums.
"""

import asyncio
import json
import struct
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import IO
from uuid import UUID

import httpx
import msgspec
from psycopg import sql

from projections.table_pages import LENGTHS
from projections.verifying.digests import Row, combined, digest_of, written
from projections.verifying.log_events import Reading, Told, read_log
from projections.verifying.order_state import SOLD, Orders, OrderState
from projections.verifying.report import Advance, Difference, Report, Source, first_difference
from projections.verifying.snapshot import Live, snapshot
from schemas.errors import Explained

_COLUMNS = {
    "order": ("order_id", "offset", "version", "status", "customer_id", "currency", "lines", "paid"),
    "status": ("name", "currency", "orders"),
    **{span: ("name", "currency", "orders", "payments", "refunds") for span in ("minute", "hour", "day")},
    "sku": ("name", "currency", "pieces", "revenue"),
    "customer": ("name", "currency", "orders", "revenue"),
}
_KEYS = {"order": 1, **dict.fromkeys(("status", "minute", "hour", "day", "sku", "customer"), 2)}
_KINDS = {b"s": "status", b"m": "minute", b"h": "hour", b"d": "day", b"k": "sku", b"c": "customer"}
_SPANS = {
    "minute": {"second": 0, "microsecond": 0},
    "hour": {"minute": 0, "second": 0, "microsecond": 0},
    "day": {"hour": 0, "minute": 0, "second": 0, "microsecond": 0},
}
_IN_TIME = {"OrderPlaced": 0, "PaymentRecorded": 1, "PaymentRefunded": 2}
_TIMEOUT_S = 30.0
_PATIENCE_S = 60.0
_PAUSE_S = 0.5

Sums = dict[tuple[str, str | int, str], list[int]]
"""{(kind, name, currency): sums}."""


class NotServed(Explained):
    """No worker gives the rows of a partition."""


@asynccontextmanager
async def verifying_sales(source: Source) -> AsyncIterator["SalesVerification"]:
    """The tables to verify. Raises what `snapshot` does, NotServed."""
    async with snapshot(source, "sales") as (_, live):
        pass
    yield SalesVerification(source, live)


class SalesVerification:
    """See Verification; a partition's position is known for certain once it was read."""

    def __init__(self, source: Source, live: Live) -> None:
        self.positions = live.positions
        self._source = source

    async def partition(self, partition: int, advance: Advance) -> Report:
        """See Verification. Raises NotServed."""
        with tempfile.TemporaryFile() as spool:
            end, live = await self._fetch(partition, spool)
            orders, sums = Orders(partition), Sums()
            reading = Reading(self._source.decoder, partition, live.aside.get(partition, frozenset()))
            bootstrap = self._source.settings.kafka_bootstrap
            async for count, told in read_log(bootstrap, self._source.topic, reading, partition, end):
                for state, event in orders.take(told):
                    add_in_time(sums, state, event)
                advance(count)
            add_states(sums, orders.by_id.values())
            return replace(
                _compared(partition, end, orders, sums, stored_rows(spool)), parked=live.parked.get(partition, 0)
            )

    async def _fetch(self, partition: int, spool: IO[bytes]) -> tuple[int, Live]:
        """Bring the partition's rows into `spool`; their position in the log, and what is parked."""
        why = "it does not answer"
        try:
            async with asyncio.timeout(_PATIENCE_S), httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
                while True:
                    try:
                        return await self._ask(client, partition, spool)
                    except (httpx.TransportError, NotServed) as error:
                        why = str(error) or repr(error)
                    await asyncio.sleep(_PAUSE_S)
        except TimeoutError:
            raise NotServed(f"the rows of partition {partition} of sales cannot be had: {why}") from None

    async def _ask(self, client: httpx.AsyncClient, partition: int, spool: IO[bytes]) -> tuple[int, Live]:
        live, url = await self._routed(partition)
        spool.seek(0)
        spool.truncate()
        async with client.stream("GET", f"{url}/rows", params={"partition": partition}) as answer:
            if answer.status_code != httpx.codes.OK:
                raise NotServed(f"{url} answers {answer.status_code}: {(await answer.aread()).decode()}")
            async for part in answer.aiter_bytes():
                spool.write(part)
        spool.seek(0)
        about = json.loads(spool.readline())
        if about["generation"] != live.generation:
            raise NotServed(f"{url} serves generation {about['generation']}, live is {live.generation}")
        if (await self._routed(partition))[0].aside != live.aside:
            raise NotServed("events were parked or redriven meanwhile")
        return int(about["next_offset"]), live

    async def _routed(self, partition: int) -> tuple[Live, str]:
        """What is live, and the URL of the worker that serves the partition."""
        async with snapshot(self._source, "sales") as (connection, live):
            query = sql.SQL("SELECT url FROM {} WHERE partition = %s")
            table = sql.Identifier(live.schema, "sales_workers")
            row = await (await connection.execute(query.format(table), [partition])).fetchone()
        if row is None:
            raise NotServed("no worker has said yet that it serves it")
        return live, str(row[0])


def stored_rows(spool: IO[bytes]) -> Iterator[Row]:
    """The rows behind the first line of what /rows gave. Raises NotServed when its end is missing."""
    lengths = struct.Struct(LENGTHS)
    while len(head := spool.read(lengths.size)) == lengths.size:
        key_length, value_length = lengths.unpack(head)
        if not key_length:
            return
        yield _row(spool.read(key_length), spool.read(value_length))
    raise NotServed("the worker's answer was cut off")


def add_in_time(sums: Sums, state: OrderState, told: Told) -> None:
    """Add what an event adds to the minute, hour and day in which it happened."""
    column = _IN_TIME.get(told.name)
    if column is None:
        return
    amount = 1 if column == 0 else told.content["amount"]
    for kind, start in _SPANS.items():
        second = round(told.time.replace(**start).timestamp())  # type: ignore[arg-type]
        sums.setdefault((kind, second, state.currency), [0, 0, 0])[column] += amount


def add_states(sums: Sums, states: Iterable[OrderState]) -> None:
    """Add what the orders come to as they are."""
    for state in states:
        sums.setdefault(("status", state.status, ""), [0])[0] += 1
        customer = sums.setdefault(("customer", state.customer_id, state.currency), [0, 0])
        customer[0] += 1
        customer[1] += state.paid - state.refunded
        for line in state.lines if state.status in SOLD else []:
            goods = sums.setdefault(("sku", line.sku, state.currency), [0, 0])
            goods[0] += line.quantity - line.returned
            goods[1] += (line.quantity - line.returned) * line.price


def _compared(partition: int, end: int, orders: Orders, sums: Sums, stored: Iterator[Row]) -> Report:
    """Hold both sides against each other: orders in the order of the log, then sums by their keys."""
    given: Sums = {}
    found, difference = _compare_orders(orders, _without_sums(stored, given))
    wanted = (order_row(state) for state in orders.by_id.values())
    expected, found = combined(digest_of(wanted), digest_of(_rows(sums))), combined(found, digest_of(_rows(given)))
    if difference is None and expected != found:
        difference = _sums_difference(sums, given)
    return Report("sales", partition, end, len(orders.by_id), written(expected), written(found), 0, difference)


def _compare_orders(orders: Orders, stored: Iterable[Row]) -> tuple[int, Difference | None]:
    """The digest of `stored`, and the difference of the order that comes first in the log."""
    found, first, last = 0, None, len(orders.by_id)
    at = last + 1
    for row in stored:
        found = combined(found, digest_of([row]))
        state = orders.by_id.get(row[1][0])
        wanted = [order_row(state)] if state else []
        rank = state.index if state else last
        if state:
            state.seen = True
        if rank < at and digest_of(wanted) != digest_of([row]):
            at, first = rank, _difference(wanted, [row])
    missing = next((state for state in orders.by_id.values() if not state.seen), None)
    if missing and missing.index < at:
        first = _difference([order_row(missing)], [])
    return found, first


def _without_sums(stored: Iterable[Row], sums: Sums) -> Iterator[Row]:
    """The rows of orders; the others are put into `sums`."""
    for table, values in stored:
        if table == "order":
            yield table, values
        else:
            sums[table, values[0], values[1]] = list(values[2:])


def order_row(state: OrderState) -> Row:
    """The row of an order, which says what the sums have of it."""
    lines = [[line.sku, line.quantity, line.price, line.returned] for line in state.lines]
    about = (state.version, state.status, state.customer_id, state.currency)
    return "order", (state.order_id, state.offset, *about, lines, state.paid)


def _rows(sums: Sums) -> list[Row]:
    """Sums of nothing may have a row or none: they do not count."""
    return [(kind, (name, currency, *given)) for (kind, name, currency), given in sums.items() if any(given)]


def _difference(expected: list[Row], found: list[Row]) -> Difference:
    order_id = (expected or found)[0][1][0]
    return first_difference(f"order {order_id}", _COLUMNS, _KEYS, expected, found)


def _sums_difference(expected: Sums, found: Sums) -> Difference:
    wanted, given = ({(row[0], *row[1][:2]): row for row in _rows(sums)} for sums in (expected, found))
    key = min((key for key in wanted.keys() | given.keys() if wanted.get(key) != given.get(key)), key=str)
    of = f"the sum of {key[0]} {key[1]} {key[2]}".rstrip()
    rows = [[side[key]] if key in side else [] for side in (wanted, given)]
    return first_difference(of, _COLUMNS, _KEYS, *rows)


def _row(key: bytes, value: bytes) -> Row:
    """A row of RocksDB: an order, or sums under a kind's letter; all begin with the source offset of their value."""
    if key[:1] == b"o":
        offset, (version, status, customer, currency, lines, paid) = msgspec.msgpack.decode(value)
        return "order", (UUID(bytes=key[1:]), offset, version, status, customer, currency, lines, paid)
    kind = _KINDS[key[:1]]
    sums = [int.from_bytes(value[at : at + 16], "big", signed=True) for at in range(8, len(value), 16)]
    if kind in _SPANS:
        name: str | int = int.from_bytes(key[1:9], "big") - 2**63
        return kind, (name, key[9:].decode(), *sums)
    split = 1 if kind == "status" else 4
    return kind, (key[split:].decode(), key[1:split].decode(), *sums)
