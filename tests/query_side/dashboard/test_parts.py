"""The dashboard's pure parts: the ring, shapes, differences, standings, the write side, who may send a form."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

import pytest
from pydantic import ValidationError

from eventlog.settings import Settings
from query_side.dashboard.actions import from_here
from query_side.dashboard.asking import Reply, samples
from query_side.dashboard.differences import Change, changes
from query_side.dashboard.places import Place, places
from query_side.dashboard.ring import Ring
from query_side.dashboard.shapes import SPARK_HEIGHT, SPARK_WIDTH, spark, timeline
from query_side.dashboard.standing import Heard, projection, subscriber
from query_side.dashboard.writing import write_side
from query_side.history import Happened

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
READY = Reply(200, {"status": "ready", "reason": None, "state": "following"})


def test_a_ring_keeps_the_last_samples_and_not_two_of_one_moment() -> None:
    ring = Ring(most=3, every_s=5)
    assert ring.since is None
    for at in (0, 4, 5, 10, 15):
        ring.put(at, {"lag": float(at)})
    ring.put(20, {"rate": 1.0})
    assert ring.series("lag") == [(10, 10.0), (15, 15.0)]
    assert ring.series("rate") == [(20, 1.0)]
    assert ring.since == 10


def test_a_sparkline_ends_at_its_right_with_the_greatest_value_on_top() -> None:
    drawn = spark([(-100, 99.0), (0, 0.0), (50, 10.0), (100, 5.0)], until=100, span_s=100)
    places_of = [tuple(map(float, point.split(","))) for point in drawn.points.split()]
    assert places_of == [(0, SPARK_HEIGHT - 1), (SPARK_WIDTH / 2, 1), (SPARK_WIDTH, SPARK_HEIGHT / 2)]
    assert drawn.top == 10.0
    assert spark([], until=100, span_s=100).points == ""


def test_a_timeline_says_how_long_after_each_other_events_happened() -> None:
    after = (timedelta(0), timedelta(milliseconds=40), timedelta(minutes=3), timedelta(days=2))
    drawn = timeline([Happened(n + 1, "LineAdded", NOON + time, {}) for n, time in enumerate(after)])
    assert [mark.gap for mark in drawn.marks] == ["", "40 ms", "3 min", "2 d"]
    assert [mark.version for mark in drawn.marks] == [1, 2, 3, 4]
    assert 0 < drawn.marks[0].x < drawn.marks[-1].x < drawn.width
    assert timeline([]).marks == []


def test_what_an_event_changed_is_told_by_field_and_by_sku() -> None:
    line = {"sku": "TEA", "quantity": 1, "unit_price": 250}
    cup = {"sku": "CUP", "quantity": 1, "unit_price": 900}
    before = {"status": "open", "version": 1, "lines": [line, cup], "shipping_address": {"city": "London"}}
    after = {"status": "paid", "version": 2, "lines": [{**line, "quantity": 3}], "shipping_address": {"city": "Bath"}}
    assert changes(before, after) == [
        Change("status", "open", "paid"),
        Change("lines.TEA.quantity", 1, 3),
        Change("shipping_address.city", "London", "Bath"),
        Change("lines.CUP.quantity", 1, None),
        Change("lines.CUP.unit_price", 900, None),
    ]
    assert changes(after, after) == []
    assert Change("status", None, "open") in changes(None, before)


def _row(partition: int | None, next_offset: int | None, progress: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {
        "projection": "orders",
        "generation": 2,
        "partition": partition,
        "next_offset": next_offset,
        "building": 3 if progress else None,
        "progress": progress,
    }


def _metrics(**by_partition: float) -> str:
    return "".join(
        f'orderlog_projection_{name}{{projection="orders",partition="0"}} {value}\n'
        for name, value in by_partition.items()
    )


@pytest.mark.parametrize(
    ("workers", "state", "reason"),
    [
        ([], "no answer", "no address of a worker is set"),
        ([Heard("u", Reply(0, {}, "it is away"))], "no answer", "it is away"),
        ([Heard("u", READY), Heard("v", Reply(0, {}, "it is away"))], "live", ""),
        ([Heard("u", Reply(503, {"state": "stuck"}, "it stood still"))], "stuck", "it stood still"),
        ([Heard("u", Reply(503, {"state": "waiting"}, "Postgres"))], "retrying", "Postgres"),
        ([Heard("u", Reply(503, {"state": "idle"}, "partitions are being assigned"))], "assigning", None),
        ([Heard("u", READY, samples(_metrics(lag_seconds=30.0)))], "catching up", ""),
        ([Heard("u", READY, samples(_metrics(lag_seconds=0.2)))], "live", ""),
    ],
)
def test_a_projections_state_is_the_worst_of_its_workers(workers: list[Heard], state: str, reason: str | None) -> None:
    found = projection("orders", [_row(0, 90)], {0: 100, 1: 5}, {0: 4.0}, workers)
    assert found.state == state
    assert reason is None or found.reason == reason
    assert (found.lag, found.rate) == (15, 4.0)
    assert [(one.number, one.position, one.lag) for one in found.partitions] == [(0, 89, 10), (1, -1, 5)]


def test_without_the_log_its_ends_are_those_the_workers_saw() -> None:
    seen = [Heard("u", READY, samples(_metrics(log_end=120, lag_seconds=0)))]
    assert projection("orders", [_row(0, 90)], {}, {}, seen).lag == 30
    unknown = projection("orders", [_row(0, 90)], {}, {}, [])
    assert (unknown.lag, unknown.lag_s, unknown.rate) == (None, None, None)
    nothing_yet = projection("orders", [_row(None, None, {"percent": 1.0})], {}, {}, [])
    assert nothing_yet.partitions == []
    assert nothing_yet.rebuild == {"percent": 1.0, "generation": 3}


def test_a_subscribers_lag_is_told_by_topic() -> None:
    page = "".join(
        f'orderlog_subscriber_lag_messages{{subscriber="email",topic="{topic}",partition="{partition}"}} 2\n'
        for topic in ("order.placed", "order.shipped")
        for partition in (0, 1)
    )
    found = subscriber("email", Heard("u", Reply(200, {"partitions": 4}), samples(page)))
    assert (found.state, found.partitions, found.lag) == ("live", 4, {"order.placed": 4.0, "order.shipped": 4.0})
    assert subscriber("email", Heard("u", Reply(0, {}, "away"))).state == "no answer"


def test_the_write_side_shows_whatever_the_command_api_measures() -> None:
    owners = Reply(200, {"partitions": [{"partition": 0, "owner": "http://a", "reason": ""}]})
    page = """
# TYPE orderlog_command_queued_commands gauge
orderlog_command_queued_commands{partition="0"} 7
# TYPE orderlog_command_outcomes counter
orderlog_command_outcomes_total{command="ShipOrder",outcome="rejected",reason="order-not-open"} 3
orderlog_command_outcomes_total{command="PlaceOrder",outcome="accepted",reason=""} 9
# TYPE orderlog_command_batch_commands histogram
orderlog_command_batch_commands_bucket{le="+Inf"} 4
orderlog_command_batch_commands_sum 10
orderlog_command_batch_commands_count 4
"""
    found = write_side([owners], [Heard("http://a", READY, samples(page))], {0: 5})
    assert [(one.url, one.term, one.figures) for one in found.owners] == [("http://a", 5, {"queued commands": 7.0})]
    assert [(one.labels, one.value) for one in found.rejected] == [("order-not-open", 3.0)]
    shown = [(one.name, one.labels, one.value) for one in found.figures]
    assert shown == [("batch commands, mean", "", 2.5), ("outcomes", "PlaceOrder, accepted", 9.0)]
    nothing = write_side([Reply(0, {}, "away")], [Heard("http://a", Reply(0, {}, "away"))], {})
    assert (nothing.why, nothing.owners) == ("away", [])
    assert write_side([], [], {}).why


def test_addresses_are_those_of_the_settings_unless_they_are_named() -> None:
    settings = Settings(
        _env_file=None, worker_host="0.0.0.0", email_port=0, dashboard_urls="sales=http://a, sales=http://b/"
    )
    found = places(settings)
    assert Place("projection", "orders", "http://127.0.0.1:8002") in found
    assert [one.url for one in found if one.name == "sales"] == ["http://a", "http://b"]
    assert not [one for one in found if one.name == "email"], "its port is not known"
    with pytest.raises(ValidationError, match="write name=URL"):
        Settings(_env_file=None, dashboard_urls="sales")


@pytest.mark.parametrize(
    ("headers", "is_from_here"),
    [
        ({"host": "a:1", "origin": "http://a:1", "sec-fetch-site": "same-origin"}, True),
        ({"host": "a:1", "origin": "https://a:1"}, True),  # behind a proxy that ends TLS
        ({"host": "a:1", "sec-fetch-site": "same-origin"}, True),
        ({"host": "a:1", "origin": "http://a:2"}, False),
        ({"host": "a:1", "origin": "http://a:1", "sec-fetch-site": "cross-site"}, False),
        ({"host": "a:1", "origin": "http://a:1", "sec-fetch-site": "same-site"}, False),
        ({"host": "a:1", "origin": "null", "sec-fetch-site": "same-origin"}, False),
        ({"host": "a:1", "sec-fetch-site": "none"}, False),
        ({"host": "a:1"}, False),
        ({}, False),
    ],
)
def test_a_form_is_taken_from_a_page_of_this_address_only(headers: dict[str, str], is_from_here: bool) -> None:
    assert from_here(headers) is is_from_here


def test_what_is_vendored_is_what_was_published() -> None:
    folder = files("query_side.dashboard") / "static" / "vendor"
    told = (folder / "VENDORED.md").read_text()
    for name in ("uPlot.iife.min.js", "uPlot.min.css", "uPlot.LICENSE"):
        assert f"| `{name}` | `{hashlib.sha256((folder / name).read_bytes()).hexdigest()}` |" in told
