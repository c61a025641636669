"""Orders as rows of CSV: a row a line item, or a row a whole order. docs/how-to/import-orders.md has the columns. Pure.

Only the shape is looked at here. A value that is wrong stays as it is written, and the API's refusal names it.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any
from uuid import UUID, uuid5

from cli.order_import.orders import Found, Unreadable, order
from schemas.errors import BadInput

_ADDRESS = ("name", "street", "city", "postal_code", "country")
_ITEM = ("sku", "quantity", "unit_price")
_WHOLE = ("lines",)
_ABOUT = ("customer_id", "email", "currency")
_OPTIONAL = ("order_id", "order_ref", "placed_at")
COLUMNS = (*_OPTIONAL, *_ABOUT, *_ADDRESS, *_ITEM, *_WHOLE)

_INTEGER = re.compile(r"-?[0-9]{1,18}")
_LINE = re.compile(r"([^*@;]+)\*([^*@;]+)@([^*@;]+)")
# An order with a reference gets its id from it, so that one reference is one order, however often it is imported.
_IDS_FROM_REFERENCES = UUID("0f1d7a52-6c0b-5d55-8d0e-3f3c3b8a1c64")


@dataclass(frozen=True, slots=True)
class _Row:
    """A row that begins on `line`; `cells` are those that have something in them."""

    line: int
    cells: dict[str, str] = field(default_factory=dict)
    problem: str = ""


def read(text: Iterable[str]) -> Iterator[Found]:
    """The orders of a CSV file with a header.

    Raises BadInput, which names the line, when it has no such header or cannot be cut into cells.
    """
    rows = csv.reader(text, strict=True)
    try:
        header = _header(next(rows, []))
        for _, same_order in groupby(_rows(rows, header), key=_identity):
            yield _order(list(same_order), whole="lines" in header)
    except csv.Error as error:
        raise BadInput(f"line {rows.line_num}: {error}; mend the quotes of this line") from error


def _header(cells: Sequence[str]) -> list[str]:
    header = [cell.strip().lower() for cell in cells]
    unknown = [name for name in header if name not in COLUMNS]
    if unknown or len(set(header)) < len(header):
        wrong = unknown[0] if unknown else next(name for name in header if header.count(name) > 1)
        raise BadInput(f"line 1: {wrong!r} is no column, or stands there twice; columns are {', '.join(COLUMNS)}")
    shape = _WHOLE if "lines" in header else _ITEM
    missing = [name for name in (*_ABOUT, *_ADDRESS, *shape) if name not in header]
    if missing:
        raise BadInput(f"line 1: there is no column {missing[0]}; the first line of a CSV file names its columns")
    if shape is _WHOLE and (both := [name for name in _ITEM if name in header]):
        raise BadInput(f"line 1: {both[0]} is for a row a line item, lines for a row a whole order; take one of them")
    return header


def _rows(rows: Iterator[list[str]], header: Sequence[str]) -> Iterator[_Row]:
    last = 1
    for cells in rows:
        line, last = last + 1, rows.line_num  # type: ignore[attr-defined]  # a csv.reader has it
        if not any(cell.strip() for cell in cells):
            continue
        given = {name: cell.strip() for name, cell in zip(header, cells, strict=False) if cell.strip()}
        problem = "" if len(cells) == len(header) else f"line {line} has {len(cells)} cells, the header {len(header)}"
        yield _Row(line, given, problem)


def _identity(row: _Row) -> object:
    """Equal for rows of one order: those that name none are orders of their own."""
    named = (row.cells.get("order_id"), row.cells.get("order_ref"))
    return named if any(named) else row.line


def _order(rows: list[_Row], *, whole: bool) -> Found:
    first = rows[0].cells
    body: dict[str, Any] = {name: first[name] for name in ("order_id", *_ABOUT, "placed_at") if name in first}
    if "order_ref" in first and "order_id" not in first:
        body["order_id"] = str(uuid5(_IDS_FROM_REFERENCES, first["order_ref"]))
    body["shipping_address"] = {name: first[name] for name in _ADDRESS if name in first}
    problems = [row.problem for row in rows if row.problem] + _contradictions(rows)
    if whole:
        body["lines"], wrong = _lines(first.get("lines", ""))
        problems += wrong + [f"line {row.line} is another row of the order of line {rows[0].line}" for row in rows[1:]]
    else:
        body["lines"] = [_item({name: row.cells[name] for name in _ITEM if name in row.cells}) for row in rows]
    return Unreadable(rows[0].line, problems[0], body) if problems else order(rows[0].line, body)


def _contradictions(rows: list[_Row]) -> list[str]:
    """Where a row says something else of the order than the first one did."""
    first = rows[0]
    return [
        f"line {row.line} says {name} {row.cells[name]!r}, line {first.line} of the same order another"
        for row in rows[1:]
        for name in (*_ABOUT, *_ADDRESS, "placed_at")
        if name in row.cells and row.cells[name] != first.cells.get(name)
    ]


def _lines(cell: str) -> tuple[Any, list[str]]:
    """The lines of a whole order, `SKU*2@499; SKU*1@250`; or the cell itself, and what is wrong with it."""
    found = [_LINE.fullmatch(part.strip()) for part in cell.split(";") if part.strip()]
    if not found or not all(found):
        return cell, [f"lines is {cell!r}; write SKU*quantity@unit_price, one after the other with ; between them"]
    return [_item(dict(zip(_ITEM, map(str.strip, match.groups()), strict=True))) for match in found if match], []


def _item(cells: dict[str, str]) -> dict[str, Any]:
    return {name: int(c) if name != "sku" and _INTEGER.fullmatch(c) else c for name, c in cells.items()}
