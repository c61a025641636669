"""An order as it was: against an independent fold of the same prefix, and against what was answered at the time."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import httpx
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from eventlog.recorded import read_record
from query_side.api.models import CustomerBody, EventsBody, OrderBody
from query_side.history import Happened, state, up_to
from schemas.events import OrderCancelled, OrderConfirmed, OrderEvent, PaymentRecorded, PaymentRefunded
from tests.kit.codec import local_codec
from tests.projections.histories import history, placed
from tests.projections.records import records
from tests.projections.refold import folded
from tests.query_side.served import View, assert_problem

START = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


@given(st.integers(0, 2**32))
def test_every_prefix_is_what_an_independent_fold_makes_of_it(seed: int) -> None:
    recorded = [read_record(local_codec(), 0, one) for one in records(local_codec(), history(Random(seed)))]
    told = [Happened(o.metadata.version, type(o.event).__name__, o.metadata.time, _data(o.event)) for o in recorded]
    for version in range(1, len(recorded) + 1):
        (expected,) = folded(recorded[:version]).values()
        body = state("id", told[:version])
        lines = [[line["sku"], line["quantity"], line["unit_price"], line["returned"]] for line in body.pop("lines")]
        address = body.pop("shipping_address")
        assert (body.pop("order_id"), expected.pop("street")) == ("id", address["street"])
        assert {**body, "lines": lines} == expected


def _data(event: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.decode(json.encode(event))
    del data["order_id"]
    return data


def test_the_first_event_after_a_time_ends_the_state_then() -> None:
    # Another writer's clock was behind: version 3 happened "before" version 2.
    times = [START, START + timedelta(seconds=9), START + timedelta(seconds=5)]
    events = [Happened(version, "X", time, {}) for version, time in enumerate(times, start=1)]
    assert len(up_to(events, None, START + timedelta(seconds=6))) == 1
    assert len(up_to(events, None, START + timedelta(seconds=9))) == 3
    assert up_to(events, None, START - timedelta(microseconds=1)) == []


async def test_the_state_then_is_what_was_answered_then(client: httpx.AsyncClient, view: View) -> None:
    random = Random(11)
    for partition in range(3):
        events: list[OrderEvent] = list(history(random))
        url, answered = f"/orders/{events[0].order_id}", []
        for event in events:
            await view.feed(partition, [event])
            answered.append((await client.get(url)).json())
        for version, then in enumerate(answered, start=1):
            OrderBody.model_validate(then, extra="forbid")
            answer = await client.get(url, params={"version": version})
            assert (answer.json(), answer.headers["ETag"]) == (then, f'"{version}"')
            as_of = (await client.get(url, params={"as_of": then["updated_at"]})).json()
            assert as_of == then


async def test_a_state_that_never_was(client: httpx.AsyncClient, view: View) -> None:
    order = placed()
    await view.feed(0, [order, OrderConfirmed(order.order_id, 998)])
    url = f"/orders/{order.order_id}"
    body = assert_problem(await client.get(f"{url}?version=3"), 404, "version-not-found")
    assert (body["current_version"], "is at version 2" in body["detail"]) == (2, True)
    body = assert_problem(await client.get(f"{url}?as_of=2026-03-01T09:29:59Z"), 404, "version-not-found")
    assert "was placed at 2026-03-01T09:30:00.000000Z" in body["detail"]
    assert (await client.get(f"{url}?version=1", headers={"If-None-Match": '"1"'})).status_code == 304
    assert_problem(await client.get(f"/orders/{UUID(int=1)}?version=1"), 404, "order-not-found")


async def test_the_timeline_page_by_page(client: httpx.AsyncClient, view: View) -> None:
    order, other = placed(), placed()
    ids = order.order_id
    events: list[OrderEvent] = [
        order,
        OrderConfirmed(ids, 998),
        PaymentRecorded(ids, 998, "pay"),
        OrderCancelled(ids, None),
    ]
    await view.feed(1, [other, *events])
    url: str | None = f"/orders/{ids}/events?limit=3"
    told = []
    while url:
        answer = await client.get(url)
        body = EventsBody.model_validate(answer.json(), extra="forbid")
        assert (body.order_id, body.version) == (ids, 4)
        told += answer.json()["events"]
        url = answer.links.get("next", {}).get("url")
        assert bool(url) == (body.next_after is not None)
    assert [(one["version"], one["type"], one["position"]) for one in told] == [
        (1, "OrderPlaced", "1:1"),
        (2, "OrderConfirmed", "1:2"),
        (3, "PaymentRecorded", "1:3"),
        (4, "OrderCancelled", "1:4"),
    ]
    assert told[2]["data"] == {"amount": 998, "reference": "pay"}
    assert told[0]["data"]["personal_data"]["shipping_address"]["city"] == "London"
    assert (told[1]["time"], told[1]["command_id"]) == ("2026-03-01T09:30:02.000000Z", "command-2")
    beyond = (await client.get(f"/orders/{ids}/events?after=4")).json()
    assert (beyond["events"], beyond["next_after"]) == ([], None)
    assert_problem(await client.get(f"/orders/{UUID(int=1)}/events"), 404, "order-not-found")


async def test_a_customers_totals_are_summed_over_partitions(client: httpx.AsyncClient, view: View) -> None:
    for partition in range(3):
        order = placed(customer_id="ada/42")
        paid: list[OrderEvent] = [
            order,
            OrderConfirmed(order.order_id, 998),
            PaymentRecorded(order.order_id, 998, "pay"),
        ]
        await view.feed(partition, [*paid, placed(customer_id="someone else")])
    cancelled: list[OrderEvent] = [OrderCancelled(order.order_id, None), PaymentRefunded(order.order_id, 998)]
    await view.feed(2, cancelled)
    answer = await client.get("/customers/ada%2F42", headers={"Orderlog-Min-Position": "2:5"})
    body = CustomerBody.model_validate(answer.json(), extra="forbid")
    assert (body.customer_id, body.orders, body.returned_pieces, body.last_order_at) == ("ada/42", 3, 0, START)
    (euros,) = body.totals
    assert (euros.currency, euros.paid, euros.refunded, euros.revenue) == ("EUR", 2_994, 998, 1_996)
    assert answer.headers["Orderlog-Position"] == "0:3,1:3,2:5"
    assert_problem(await client.get("/customers/nobody"), 404, "customer-not-found")
