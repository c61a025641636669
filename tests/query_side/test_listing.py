"""Lists of orders: narrowed, sorted, searched, page by page, and how many there are."""

from uuid import UUID

import httpx
import pytest

from query_side import listing
from query_side.api.models import OrdersBody
from schemas.events import (
    Address,
    Destination,
    Line,
    OrderConfirmed,
    OrderPlaced,
    OrderShipped,
    PaymentRecorded,
    ShippingAddressChanged,
)
from tests.projections.histories import placed
from tests.query_side.served import View, assert_problem


class Shop:
    """Four orders: tea and cups of two customers, one confirmed, one paid and shipped, one sent elsewhere."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        cups = (Line("CUP", 3, 1_000), Line("TEA", 1, 499))
        self.orders: list[OrderPlaced] = [
            placed(customer_id=name, lines=lines) for name, lines in (("a", ()), ("b", cups), ("a", ()), ("a", cups))
        ]

    async def fill(self, view: View) -> None:
        ids = [order.order_id for order in self.orders]
        elsewhere = Address("Grace Hopper", "12-b Café Row", "Bath", "BA1 1AA", "GB")
        await view.feed(2, [*self.orders, OrderConfirmed(ids[0], 998), OrderConfirmed(ids[1], 3_499)])
        await view.feed(2, [PaymentRecorded(ids[1], 3_499, "pay_7Hx-2"), OrderShipped(ids[1], "DHL", "JD0146")])
        await view.feed(2, [ShippingAddressChanged(ids[3], Destination(elsewhere))])

    async def found(self, **parameters: str | list[str]) -> list[int]:
        answer = await self._client.get("/orders", params=parameters)
        body = OrdersBody.model_validate(answer.json(), extra="forbid")
        assert (body.total.count, body.total.exact) == (len(body.orders), True)
        ids = [order.order_id for order in self.orders]
        return [ids.index(order.order_id) for order in body.orders]


@pytest.fixture
async def shop(client: httpx.AsyncClient, view: View) -> Shop:
    made = Shop(client)
    await made.fill(view)
    return made


async def test_lists_are_narrowed(shop: Shop) -> None:
    assert await shop.found() == [3, 2, 1, 0]
    assert await shop.found(customer_id="a") == [3, 2, 0]
    assert await shop.found(status="confirmed") == [0]
    assert await shop.found(status=["confirmed", "shipped"]) == [1, 0]
    assert await shop.found(customer_id="b", status="confirmed") == []
    assert await shop.found(sku="CUP") == [3, 1]
    assert await shop.found(sku="TEA", customer_id="b") == [1]
    assert await shop.found(placed_after="2026-03-01T09:30:01Z", placed_before="2026-03-01T10:30:03+01:00") == [2, 1]
    assert await shop.found(min_total="999", currency="EUR") == [3, 1]
    assert await shop.found(min_total="3499", currency="EUR") == [3, 1]
    assert await shop.found(min_total="3500", currency="EUR") == []
    assert await shop.found(currency="USD") == []


async def test_lists_are_sorted_both_ways(shop: Shop) -> None:
    assert await shop.found(sort="placed_at") == [0, 1, 2, 3]
    assert await shop.found(sort="-updated_at") == [3, 1, 0, 2]
    assert await shop.found(sort="updated_at") == [2, 0, 1, 3]
    assert set((await shop.found(sort="-total", currency="EUR"))[:2]) == {1, 3}
    assert set((await shop.found(sort="total", currency="EUR"))[:2]) == {0, 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lovelace", [2, 1, 0]),
        ("London lovel", [2, 1, 0]),
        ("lovel London", []),
        ("hopper", [3]),
        ("CAFÉ", [3]),
        ("12-B", [3]),
        ("jd01", [1]),
        ("pay_7hx", [1]),
        ("pay_7Hx-2", [1]),
        ("pay_7Hx-2 ada", []),
        ("lace", []),
        ("JD0146 hopper", []),
        ("it's & | ! ( ':*", []),
    ],
)
async def test_words_are_found_in_addresses_and_references(shop: Shop, text: str, expected: list[int]) -> None:
    assert await shop.found(q=text) == expected


async def test_pages_hold_still_while_orders_are_placed(client: httpx.AsyncClient, view: View) -> None:
    first = [placed(customer_id="a" if n % 2 else "b") for n in range(25)]
    await view.feed(0, list(first))
    seen: list[str] = []
    url: str | None = "/orders?limit=7"
    while url:
        answer = await client.get(url)
        seen += [order["order_id"] for order in answer.json()["orders"]]
        url = answer.links.get("next", {}).get("url")
        assert bool(url) == bool(answer.json()["next_cursor"])
        await view.feed(0, [placed()])
    assert seen == [str(order.order_id) for order in reversed(first)]


@pytest.mark.parametrize("sort", ["placed_at", "-placed_at", "updated_at", "-updated_at", "total", "-total"])
async def test_equals_are_paged_by_id(client: httpx.AsyncClient, view: View, sort: str) -> None:
    # The first record of each partition happened at the same microsecond.
    orders = [placed() for _ in range(3)]
    for partition, order in enumerate(orders):
        await view.feed(partition, [order])
    pages, parameters = [], {"limit": "1", "sort": sort, "currency": "EUR"}
    for _ in orders:
        body = (await client.get("/orders", params=parameters)).json()
        pages.append(UUID(body["orders"][0]["order_id"]))
        parameters["cursor"] = body["next_cursor"]
    assert pages == sorted((order.order_id for order in orders), reverse=sort.startswith("-"))


async def test_a_cursor_is_of_one_sort(client: httpx.AsyncClient, view: View) -> None:
    await view.feed(0, [placed(), placed()])
    cursor = (await client.get("/orders?limit=1&sort=-updated_at")).json()["next_cursor"]
    assert (await client.get("/orders", params={"sort": "-updated_at", "cursor": cursor})).status_code == 200
    body = assert_problem(await client.get("/orders", params={"cursor": cursor}), 422, "invalid-request")
    assert "the cursor is of a list sorted by -updated_at" in body["detail"]


async def test_many_are_estimated(client: httpx.AsyncClient, view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    await view.feed(0, [placed() for _ in range(30)])
    assert (await client.get("/orders?limit=1")).json()["total"] == {"count": 30, "exact": True}
    monkeypatch.setattr(listing, "COUNTED", 10)
    total = (await client.get("/orders?limit=1&q=lovelace&sku=TEA&currency=EUR")).json()["total"]
    assert (total["exact"], total["count"] > 10) == (False, True)
