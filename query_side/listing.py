"""Lists of orders: narrowed, sorted, page by page, with how many there are.

The statement is put together from the conditions that are asked for and planned for their values each time: the best
plan for a status that one order in a thousand has is the worst for one that nearly all have.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from query_side.cursor import Cursor, Sort
from query_side.database import Database, Row
from query_side.sql import LIVE, ORDER_BODY, Answer, answer

# Counting further would cost more than the page; the planner's guess is good enough for "about 120,000".
COUNTED = 2_000
_MOST_WORDS = 8
# The same words that the view splits its texts into (`order_texts.words`).
_SPLIT = "SELECT array_remove(regexp_split_to_array(lower(%(text)s), '[^[:alnum:]]+'), '') AS words"
# So many orders are fetched and sorted in some ten milliseconds.
_FEW = 5_000


@dataclass(frozen=True, slots=True)
class Filters:
    """Which orders to list; None and () mean any. `placed_from` is included, `placed_before` is not.

    All of `words` must be in the order's address or in one of its references; the last may be the beginning of one.
    """

    customer_id: str | None = None
    statuses: Sequence[str] = ()
    sku: str | None = None
    placed_from: datetime | None = None
    placed_before: datetime | None = None
    currency: str | None = None
    min_total: int | None = None
    words: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """`order_id`, `body` and the sort's column as `key` of each order; how many there are on all pages."""

    answer: Answer
    total: int
    total_is_exact: bool


async def words_of(database: Database, text: str) -> Sequence[str]:
    """The words to search for, as Postgres splits them; at most eight. Raises Unavailable."""
    (row,) = await database.rows(_SPLIT, {"text": text})
    words: list[str] = list(dict.fromkeys(row["words"]))
    return words[:_MOST_WORDS]


async def list_orders(database: Database, filters: Filters, sort: Sort, after: Cursor | None, limit: int) -> Page:
    """At most `limit` orders behind `after`. Raises Unavailable."""
    conditions = await plan(database, filters)
    statement, values = counted_page(conditions, sort, after)
    rows = await database.rows(statement, {**values, "limit": limit}, prepare=False)
    found, total = answer(rows, "order_id"), int(rows[0]["counted"])
    if total <= COUNTED:
        return Page(found, total, True)
    return Page(found, max(await _estimate(database, conditions), total), False)


@dataclass(frozen=True, slots=True)
class Conditions:
    """A WHERE clause over `views.orders o`, and the values of its parameters."""

    where: str
    values: Row


async def plan(database: Database, filters: Filters) -> Conditions:
    """The filters as conditions. Raises Unavailable.

    Orders that have a certain line or text are looked up first when they are few. When they are many, each order is
    asked in the list's own order, and a page is soon full. Left to itself Postgres takes the second way for a word
    that nothing has, and goes through the whole table: it has no statistics on beginnings of words.
    """
    values = _values(filters)
    clauses = [_CLAUSES[name] for name in values if name not in _LOOKUPS]
    for name in values.keys() & _LOOKUPS.keys():
        table, condition = _LOOKUPS[name]
        probe = f"SELECT count(*) AS found FROM (SELECT FROM {table} t WHERE {condition} LIMIT {_FEW + 1}) few"
        (row,) = await database.rows(probe, values)
        clause = _RARE if row["found"] <= _FEW else _COMMON
        clauses.append(clause.format(table=table, condition=condition))
    return Conditions(" AND ".join(clauses) or "true", values)


def counted_page(conditions: Conditions, sort: Sort, after: Cursor | None) -> tuple[str, dict[str, Any]]:
    """The statement of a page with the view's position and a bounded count, and its values but `limit`."""
    counted = f"SELECT count(*) FROM (SELECT FROM views.orders o WHERE {conditions.where} LIMIT {COUNTED + 1}) few"
    orders, values = page(conditions, sort, after)
    statement = f"""{LIVE}
        SELECT live.positions, ({counted}) AS counted, page.* FROM live LEFT JOIN ({orders}) page ON true
        ORDER BY page.key {_direction(sort)}, page.order_id {_direction(sort)}
    """
    return statement, values


def page(conditions: Conditions, sort: Sort, after: Cursor | None) -> tuple[str, dict[str, Any]]:
    """The statement of a page alone, and its values but `limit`."""
    direction, beyond = _direction(sort), "<" if sort.descending else ">"
    behind = f"AND (o.{sort.column}, o.order_id) {beyond} (%(key)s, %(id)s)" if after else ""
    place = {"key": after.value, "id": after.order_id} if after else {}
    order = f"ORDER BY o.{sort.column} {direction}, o.order_id {direction}"
    statement = f"""
        SELECT o.order_id, o.{sort.column} AS key, {ORDER_BODY} AS body FROM (
            SELECT o.* FROM views.orders o WHERE {conditions.where} {behind} {order} LIMIT %(limit)s
        ) o {order}
    """
    return statement, {**conditions.values, **place}


def _direction(sort: Sort) -> str:
    return "DESC" if sort.descending else "ASC"


async def _estimate(database: Database, conditions: Conditions) -> int:
    """How many orders Postgres expects, from its statistics alone."""
    statement = f"EXPLAIN (FORMAT JSON) SELECT FROM views.orders o WHERE {conditions.where}"
    (row,) = await database.rows(statement, conditions.values, prepare=False)
    return int(row["QUERY PLAN"][0]["Plan"]["Plan Rows"])


def _values(filters: Filters) -> dict[str, Any]:
    """The values of the filters that are given."""
    *whole, last = filters.words or ("",)
    values = {
        "customer_id": filters.customer_id,
        "statuses": list(filters.statuses) or None,
        "sku": filters.sku,
        "placed_from": filters.placed_from,
        "placed_before": filters.placed_before,
        "currency": filters.currency,
        "min_total": filters.min_total,
        "words": " & ".join([*(f"'{word}'" for word in whole), f"'{last}':*"]) if last else None,
    }
    return {name: value for name, value in values.items() if value is not None}


_CLAUSES = {
    "customer_id": "o.customer_id = %(customer_id)s",
    "statuses": "o.status = ANY(%(statuses)s)",
    "placed_from": "o.placed_at >= %(placed_from)s",
    "placed_before": "o.placed_at < %(placed_before)s",
    "currency": "o.currency = %(currency)s",
    "min_total": "o.total >= %(min_total)s",
}
_LOOKUPS = {
    "sku": ("views.order_lines", "t.sku = %(sku)s"),
    "words": ("views.order_texts", "t.words @@ %(words)s::tsquery"),
}
_RARE = "o.order_id = ANY(ARRAY(SELECT t.order_id FROM {table} t WHERE {condition}))"
_COMMON = "EXISTS (SELECT FROM {table} t WHERE t.order_id = o.order_id AND {condition})"
