"""Files of orders, read: both shapes of CSV, lines of JSON, the keys of what they have."""

import io
import json
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.order_import import csv_orders, ndjson
from cli.order_import.keys import Keys
from cli.order_import.orders import Found, Order, Unreadable, order
from schemas.errors import BadInput
from tests.cli.order_import.csv_files import ABOUT, ADDRESS, ITEM, rows_of_items, rows_of_orders, written
from tests.kit.requests import order as body_of

# Everything that CSV has to quote, and no blanks at the ends, which are taken off.
texts = st.text("abc é,;\"'\n\r*@", min_size=1, max_size=8).map(str.strip).filter(bool)
lines = st.builds(
    lambda sku, quantity, price: {"sku": sku, "quantity": quantity, "unit_price": price},
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True).filter(str.isascii),
    st.integers(1, 10**5),
    st.integers(0, 10**9),
)
orders = st.builds(
    lambda order_id, customer, address, lines, placed_at: {
        "order_id": str(order_id),
        "customer_id": customer,
        "email": "ada@example.com",
        "currency": "EUR",
        "lines": lines,
        "shipping_address": dict(zip(ADDRESS, address, strict=True)),
        **({"placed_at": placed_at} if placed_at else {}),
    },
    st.uuids(),
    texts,
    st.lists(texts, min_size=5, max_size=5),
    st.lists(lines, min_size=1, max_size=4),
    st.sampled_from([None, "2024-05-01T09:30:00+02:00"]),
)


def read_csv(text: str) -> list[Found]:
    return list(csv_orders.read(io.StringIO(text, newline="")))


def bodies(found: list[Found]) -> list[dict[str, Any]]:
    assert all(isinstance(one, Order) for one in found), found
    return [json.loads(one.body) for one in found if isinstance(one, Order)]


@given(st.lists(orders, max_size=4, unique_by=lambda one: str(one["order_id"])), st.permutations([*ABOUT, *ADDRESS]))
def test_both_shapes_of_csv_are_the_orders_they_were_made_of(wanted: list[dict[str, Any]], columns: list[str]) -> None:
    assert bodies(read_csv(written(rows_of_items(wanted), [*columns, *ITEM]))) == wanted
    assert bodies(read_csv(written(rows_of_orders(wanted), ["lines", *columns]))) == wanted


@given(st.text('ab,"\n;*@1 ', max_size=60))
def test_no_csv_is_too_strange(rows: str) -> None:
    for header in ([*ABOUT, *ADDRESS, *ITEM], [*ABOUT, *ADDRESS, "lines"]):
        found: list[Found] = []
        with suppress(BadInput):
            found = read_csv(f"{','.join(header)}\n{rows}")
        assert all(one.line >= 2 for one in found)


def test_rows_of_one_order_stand_together_and_others_are_orders_of_their_own() -> None:
    shared = {"customer_id": "c", "email": "a@b", "currency": "EUR", **dict.fromkeys(ADDRESS, "x")}
    item = {"sku": "TEA", "quantity": 1, "unit_price": 2}
    first_of_a = {**shared, **item, "order_ref": "A"}
    rows = [
        first_of_a,
        {"order_ref": "A", "sku": "CUP", "quantity": 3, "unit_price": 4},
        {**first_of_a, "order_ref": "B"},
    ]
    anonymous = {**shared, **item}
    text = written([*rows, anonymous, anonymous], ["order_ref", *shared, *ITEM])
    found = bodies(read_csv(text))
    assert [len(one["lines"]) for one in found] == [2, 1, 1, 1]
    assert ["order_id" in one for one in found] == [True, True, False, False]
    assert found[0]["order_id"] != found[1]["order_id"]
    assert bodies(read_csv(text)) == found, "a reference gives the same id each time"


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("", "there is no column customer_id"),
        ("customer_id;email", "'customer_id;email' is no column"),
        ("customer_id,customer_id", "'customer_id' is no column, or stands there twice"),
        (",".join([*ABOUT, *ADDRESS]), "there is no column sku"),
        (",".join([*ABOUT, *ADDRESS, "lines", "sku"]), "take one of them"),
    ],
)
def test_a_header_that_is_wrong_is_named(header: str, says: str) -> None:
    with pytest.raises(BadInput, match=rf"^line 1: .*{says}"):
        read_csv(header + "\n")


SHAPE = ",".join(["order_ref", "customer_id", "email", "currency", *ADDRESS])
ROW = "A,c,a@b,EUR,n,s,c,p,GB"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (f"{SHAPE},lines\n{ROW},TEA 2\n", 2, "lines is 'TEA 2'; write SKU*quantity@unit_price"),
        (f"{SHAPE},lines\n{ROW},TEA*2\n", 2, "lines is 'TEA*2'"),
        (f"{SHAPE},lines\n{ROW},\n", 2, "lines is ''"),
        (f"{SHAPE},lines\n{ROW},A*1@1\n{ROW},B*1@1\n", 2, "line 3 is another row of the order of line 2"),
        (f"{SHAPE},sku,quantity,unit_price\n{ROW},A,1,1,9\n", 2, "line 2 has 13 cells, the header 12"),
        (f"{SHAPE},sku,quantity,unit_price\n\n{ROW},A,1,1\nA,d,,,,,,,,B,1,1\n", 3, "line 4 says customer_id 'd'"),
    ],
)
def test_a_row_that_is_wrong_is_named(text: str, line: int, says: str) -> None:
    (found,) = read_csv(text)
    assert isinstance(found, Unreadable)
    assert (found.line, found.content["customer_id"]) == (line, "c")
    assert says in found.reason


def test_a_value_that_is_wrong_is_left_to_the_api() -> None:
    (found,) = bodies(read_csv(f"{SHAPE},sku,quantity,unit_price\n{ROW},A,two,4.99\n"))
    assert found["lines"] == [{"sku": "A", "quantity": "two", "unit_price": "4.99"}]


def test_quotes_that_do_not_end_are_named() -> None:
    with pytest.raises(BadInput, match=r"^line 3: .*mend the quotes"):
        read_csv(f'{SHAPE},lines\n{ROW},A*1@1\n"B,c\n')


def test_lines_of_json() -> None:
    reject = {"line": 7, "reason": {"title": "x"}, "order": body_of(customer_id="mended")}
    content = [
        b"\xef\xbb\xbf" + json.dumps(body_of()).encode(),
        b"\n",
        b"{\n",
        b"[1]\n",
        b'"\xff"\n',
        json.dumps(reject).encode(),
    ]
    first, broken, array, not_utf8, mended = ndjson.read(content)
    assert isinstance(first, Order)
    assert isinstance(mended, Order)
    assert (first.line, mended.line) == (1, 6)
    assert json.loads(mended.body) == body_of(customer_id="mended")
    for one, line, says in ((broken, 3, "not JSON"), (array, 4, "a JSON object"), (not_utf8, 5, "not JSON")):
        assert isinstance(one, Unreadable)
        assert one.line == line
        assert says in one.reason


def test_a_key_is_a_function_of_the_content_and_of_how_often_it_came_before() -> None:
    anonymous, other = order(1, body_of()), order(2, body_of(customer_id="other"))
    shuffled = order(3, dict(reversed(body_of().items())))
    named = order(4, body_of(order_id=str(uuid4())))
    with Keys() as keys:
        told = [keys.of(one) for one in (anonymous, other, shuffled, named, named)]
    first, second, again, one, same = told
    assert again == f"{first}-1", "the same content without an id is another order"
    assert one == same, "with an id it is the same"
    assert len({first, second, again, one}) == 4
    with Keys() as keys:
        assert [keys.of(one) for one in (other, anonymous, named, anonymous)] == [second, first, one, again]
