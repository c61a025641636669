"""Orders, and the same orders written as CSV in its two shapes. For tests of the reading; shares no code with it."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

ABOUT = ("order_id", "customer_id", "email", "currency", "placed_at")
ADDRESS = ("name", "street", "city", "postal_code", "country")
ITEM = ("sku", "quantity", "unit_price")


def rows_of_items(orders: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row a line item."""
    return [{**_shared(order), **line} for order in orders for line in order["lines"]]


def rows_of_orders(orders: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row a whole order."""
    return [
        {
            **_shared(order),
            "lines": "; ".join(f"{li['sku']}*{li['quantity']}@{li['unit_price']}" for li in order["lines"]),
        }
        for order in orders
    ]


def written(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """The rows as the text of a CSV file."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _shared(order: Mapping[str, Any]) -> dict[str, Any]:
    return {**{name: order[name] for name in ABOUT if name in order}, **order["shipping_address"]}
