"""Bodies of requests to the command API."""

from typing import Any

ADDRESS = {
    "name": "Ada Lovelace",
    "street": "12 St James's Square",
    "city": "London",
    "postal_code": "SW1Y 4JH",
    "country": "GB",
}


def order(**changes: Any) -> dict[str, Any]:
    """A body of POST /orders that is accepted, with `changes`."""
    return {
        "customer_id": "customer-1",
        "email": "ada@example.com",
        "currency": "EUR",
        "lines": [{"sku": "TEA", "quantity": 2, "unit_price": 250}],
        "shipping_address": ADDRESS,
        **changes,
    }
