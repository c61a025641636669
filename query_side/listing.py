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


@dataclass(frozen=True, slots=True)
class Filters:
    """Which orders to list; None and () mean any. `placed_from` is included, `placed_before` is not.

    Each of `words` must begin a word of the order's address or of one of its references.
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
    statement, values = counted_page(filters, sort, after)
    rows = await database.rows(statement, {**values, "limit": limit}, prepare=False)
    found, total = answer(rows, "order_id"), int(rows[0]["counted"])
    if total <= COUNTED:
        return Page(found, total, True)
    return Page(found, max(await _estimate(database, filters), total), False)


def counted_page(filters: Filters, sort: Sort, after: Cursor | None) -> tuple[str, dict[str, Any]]:
    """The statement of a page with the view's position and a bounded count, and its values but `limit`."""
    where, _ = _conditions(filters)
    counted = f"(SELECT count(*) FROM (SELECT FROM views.orders o WHERE {where} LIMIT {COUNTED + 1}) few)"
    orders, values = page(filters, sort, after)
    statement = f"""{LIVE}
        SELECT live.positions, {counted} AS counted, page.* FROM live LEFT JOIN ({orders}) page ON true
        ORDER BY page.key {_direction(sort)}, page.order_id {_direction(sort)}
    """
    return statement, values


def page(filters: Filters, sort: Sort, after: Cursor | None) -> tuple[str, dict[str, Any]]:
    """The statement of a page alone, and the values of its parameters but `limit`."""
    where, values = _conditions(filters)
    direction, beyond = _direction(sort), "<" if sort.descending else ">"
    behind = f"AND (o.{sort.column}, o.order_id) {beyond} (%(key)s, %(id)s)" if after else ""
    place = {"key": after.value, "id": after.order_id} if after else {}
    order = f"ORDER BY o.{sort.column} {direction}, o.order_id {direction}"
    statement = f"""
        SELECT o.order_id, o.{sort.column} AS key, {ORDER_BODY} AS body FROM (
            SELECT o.* FROM views.orders o WHERE {where} {behind} {order} LIMIT %(limit)s
        ) o {order}
    """
    return statement, {**values, **place}


def _direction(sort: Sort) -> str:
    return "DESC" if sort.descending else "ASC"


async def _estimate(database: Database, filters: Filters) -> int:
    """How many orders the planner expects."""
    where, values = _conditions(filters)
    statement = f"EXPLAIN (FORMAT JSON) SELECT FROM views.orders o WHERE {where}"
    (row,) = await database.rows(statement, values, prepare=False)
    return int(row["QUERY PLAN"][0]["Plan"]["Plan Rows"])


def _conditions(filters: Filters) -> tuple[str, Row]:
    """The filters as a WHERE clause over `views.orders o`, and the values of its parameters."""
    values = {
        "customer_id": filters.customer_id,
        "statuses": list(filters.statuses) or None,
        "sku": filters.sku,
        "placed_from": filters.placed_from,
        "placed_before": filters.placed_before,
        "currency": filters.currency,
        "min_total": filters.min_total,
    }
    given = {name: value for name, value in values.items() if value is not None}
    searched = {f"word_{n}": f"'{word}':*" for n, word in enumerate(filters.words)}
    clauses = [_CLAUSES[name] for name in given] + [_WORD.format(name) for name in searched]
    return " AND ".join(clauses) or "true", {**given, **searched}


_CLAUSES = {
    "customer_id": "o.customer_id = %(customer_id)s",
    "statuses": "o.status = ANY(%(statuses)s)",
    "sku": "EXISTS (SELECT FROM views.order_lines s WHERE s.order_id = o.order_id AND s.sku = %(sku)s)",
    "placed_from": "o.placed_at >= %(placed_from)s",
    "placed_before": "o.placed_at < %(placed_before)s",
    "currency": "o.currency = %(currency)s",
    "min_total": "o.total >= %(min_total)s",
}
_WORD = "EXISTS (SELECT FROM views.order_texts t WHERE t.order_id = o.order_id AND t.words @@ %({})s::tsquery)"
