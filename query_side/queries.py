"""The queries. Each reads its rows and the view's position in one statement, so in one snapshot.

They start from the live generation's row, so no row at all means that the view was not made yet.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    Select,
    Subquery,
    Text,
    Uuid,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from query_side.cursor import Cursor
from query_side.database import Database, Query, Row, Unavailable
from query_side.tables import checkpoints, generations, order_lines, orders

ORDERS = "orders"


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows, and the last offset of each partition that they reflect, as `eventlog.positions` writes them."""

    rows: Sequence[Row]
    position: str


@dataclass(frozen=True, slots=True)
class Filters:
    """Which orders to list; None means any. `placed_from` is included, `placed_before` is not."""

    customer_id: str | None = None
    status: str | None = None
    placed_from: datetime | None = None
    placed_before: datetime | None = None
    after: Cursor | None = None


async def order_by_id(database: Database, order_id: UUID) -> Answer:
    """The order, or no row. Raises Unavailable."""
    return _answer(await database.rows(_ORDER, order_id=order_id))


async def list_orders(database: Database, filters: Filters, limit: int) -> Answer:
    """At most `limit` orders, the last placed first. Raises Unavailable."""
    newest_first = (orders.c.placed_at.desc(), orders.c.order_id.desc())
    page = select(orders).where(*_conditions(filters)).order_by(*newest_first).limit(limit).subquery("page")
    statement = _with_orders(page).order_by(page.c.placed_at.desc(), page.c.order_id.desc())
    return _answer(await database.rows(Query.of(statement)))


async def positions(database: Database) -> Sequence[Row]:
    """projection, generation, partition and next_offset of every live generation; without partition at its start."""
    return await database.rows(_POSITIONS)


def _answer(rows: Sequence[Row]) -> Answer:
    if not rows:
        raise Unavailable("the view was not made yet; its worker makes it when it starts")
    return Answer([row for row in rows if row["order_id"] is not None], rows[0]["positions"] or "")


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if filters.customer_id is not None:
        conditions.append(orders.c.customer_id == filters.customer_id)
    if filters.status is not None:
        conditions.append(orders.c.status == filters.status)
    if filters.placed_from is not None:
        conditions.append(orders.c.placed_at >= filters.placed_from)
    if filters.placed_before is not None:
        conditions.append(orders.c.placed_at < filters.placed_before)
    if filters.after is not None:
        place = tuple_(filters.after.placed_at, filters.after.order_id)
        conditions.append(tuple_(orders.c.placed_at, orders.c.order_id) < place)
    return conditions


def _with_orders(page: Subquery) -> Select[Any]:
    """The live generation's position with each row of `page`, or once without."""
    live = generations.c.projection == ORDERS, generations.c.state == "live"
    joined = generations.outerjoin(page, true())
    return select(_position(), *page.c, _lines(page.c.order_id)).select_from(joined).where(*live)


def _position() -> ColumnElement[Any]:
    written = cast(checkpoints.c.partition, Text) + ":" + cast(checkpoints.c.next_offset - 1, Text)
    separator = literal_column("','", Text)
    inner = select(func.string_agg(written, aggregate_order_by(separator, checkpoints.c.partition))).where(
        checkpoints.c.projection == generations.c.projection,
        checkpoints.c.generation == generations.c.generation,
        checkpoints.c.next_offset > 0,
    )
    return inner.correlate(generations).scalar_subquery().label("positions")


def _lines(order_id: ColumnElement[Any]) -> ColumnElement[Any]:
    fields = (order_lines.c.sku, order_lines.c.quantity, order_lines.c.unit_price, order_lines.c.returned)
    # The names stand in the text: a parameter of a function that takes anything has no type of its own.
    names: Iterator[ColumnElement[Any]] = (literal_column(f"'{column.name}'") for column in fields)
    line = func.jsonb_build_object(*chain.from_iterable(zip(names, fields, strict=True)))
    lines: ScalarSelect[Any] = (
        select(func.jsonb_agg(aggregate_order_by(line, order_lines.c.position)))
        .where(order_lines.c.order_id == order_id)
        .scalar_subquery()
    )
    return lines.label("lines")


_ORDER = Query.of(
    _with_orders(select(orders).where(orders.c.order_id == bindparam("order_id", type_=Uuid)).subquery("page"))
)
_POSITIONS = Query.of(
    select(generations.c.projection, generations.c.generation, checkpoints.c.partition, checkpoints.c.next_offset)
    .select_from(
        generations.outerjoin(
            checkpoints,
            (checkpoints.c.projection == generations.c.projection)
            & (checkpoints.c.generation == generations.c.generation),
        )
    )
    .where(generations.c.state == "live")
    .order_by(generations.c.projection, checkpoints.c.partition)
)
