"""Events of two versions and of a type from the future, in one log: views fold what they know, and say the rest."""

import asyncio
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import psycopg
import pytest
from fastavro import parse_schema, schemaless_reader

from eventlog.partitioning import partition_of
from eventlog.reader import log_ends, read_partition
from eventlog.settings import Settings
from schemas import avro
from schemas.events import OrderConfirmed, OrderDelivered, OrderShipped, PaymentRecorded
from schemas.registry import Registry
from tests.kit.newer import of_version_1, wrapped
from tests.kit.worlds import Worker, prepare
from tests.projections.histories import history, placed
from tests.projections.log import LogWriter, log_writer
from tests.projections.refold import folded_log, view
from tests.projections.running import caught_up, cli_told, metrics, running, url_of
from tests.projections.sales_world import sales_world
from tests.projections.verifying.kit import verdict
from tests.rebuild.kit import Rebuild


@pytest.fixture(params=["orders", "sales"])
def worker(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> Iterator[Worker]:
    process = Worker(settings, tmp_path / f"{request.param}.log", request.param)
    yield process
    process.kill()


@pytest.fixture
def orders(settings: Settings, tmp_path: Path) -> Iterator[Worker]:
    process = Worker(settings, tmp_path / "orders.log")
    yield process
    process.kill()


async def old_shipment(settings: Settings, writer: LogWriter) -> UUID:
    """An order paid and shipped by the first release, delivered by this one."""
    order = placed()
    await writer.append([order, OrderConfirmed(order.order_id, 998)])
    paid = of_version_1(settings, "PaymentRecorded", order.order_id, amount=998, reference="pay-1")
    shipped = of_version_1(settings, "OrderShipped", order.order_id, carrier="DHL", tracking="JD01")
    for value in (paid, shipped):
        await writer.append_written(value, order.order_id)
    await writer.append([OrderDelivered(order.order_id)])
    return order.order_id


async def new_shipment(writer: LogWriter) -> UUID:
    order = placed()
    paid = PaymentRecorded(order.order_id, 998, "pay-2", "card")
    shipped = OrderShipped(order.order_id, "UPS", "1Z1", ("1Z1", "1Z2"))
    await writer.append([order, OrderConfirmed(order.order_id, 998), paid, shipped])
    return order.order_id


async def of_the_future(settings: Settings, writer: LogWriter) -> UUID:
    """An order with an event of a type that this release does not know, and known ones behind it."""
    order = placed()
    await writer.append([order])
    await writer.append_written(wrapped(settings, order.order_id), order.order_id)
    await writer.append([OrderConfirmed(order.order_id, 998), PaymentRecorded(order.order_id, 998, "pay-3")])
    return order.order_id


def timeline(settings: Settings, order_id: UUID) -> list[tuple[int, str, dict[str, Any]]]:
    query = "SELECT version, type, data FROM views.order_events WHERE order_id = %s ORDER BY version"
    with psycopg.connect(settings.postgres_url) as connection:
        return connection.execute(query, [order_id]).fetchall()


def found_by(settings: Settings, number: str) -> set[UUID]:
    """The orders that a search for the tracking number finds."""
    query = "SELECT order_id FROM views.order_texts WHERE words @@ %s::tsquery"
    with psycopg.connect(settings.postgres_url) as connection:
        return {order_id for (order_id,) in connection.execute(query, [number.lower()])}


async def said_by(settings: Settings, *arguments: str) -> str:
    """What `orderlog …` says."""
    code, out, err = await asyncio.to_thread(cli_told, settings, *arguments)
    assert code == 0, err
    return out


def parked_rows(settings: Settings) -> list[tuple[UUID, str]]:
    """(order, reason) of what is parked, in order."""
    query = 'SELECT order_id, reason FROM orderlog.parked_events ORDER BY partition, "offset"'
    with psycopg.connect(settings.postgres_url) as connection:
        return connection.execute(query).fetchall()


async def test_both_versions_side_by_side_are_one_timeline(settings: Settings, orders: Worker) -> None:
    codec = await prepare(settings)
    async with log_writer(settings, codec) as writer:
        old, new = await old_shipment(settings, writer), await new_shipment(writer)
        ahead = await of_the_future(settings, writer)
        await writer.append([event for n in range(20) for event in history(Random(n))])
        with running(orders):
            await caught_up(settings, orders)
    assert view(settings) == await folded_log(settings, codec)
    assert timeline(settings, old)[2:4] == [
        (3, "PaymentRecorded", {"amount": 998, "reference": "pay-1", "method": None}),
        (4, "OrderShipped", {"carrier": "DHL", "tracking": "JD01", "parcels": ["JD01"]}),
    ]
    assert timeline(settings, new)[2:4] == [
        (3, "PaymentRecorded", {"amount": 998, "reference": "pay-2", "method": "card"}),
        (4, "OrderShipped", {"carrier": "UPS", "tracking": "1Z1", "parcels": ["1Z1", "1Z2"]}),
    ]
    assert old in found_by(settings, "JD01")
    assert found_by(settings, "1Z2") == {new}
    shown = view(settings)
    assert (shown[str(ahead)]["status"], shown[str(ahead)]["version"]) == ("paid", 4)
    assert timeline(settings, ahead)[1] == (2, "OrderWrapped", {})


async def test_a_view_agrees_with_the_log_and_says_what_it_passed_over(settings: Settings, worker: Worker) -> None:
    name = worker.log_file.stem
    codec = await prepare(settings)
    async with log_writer(settings, codec) as writer, sales_world(settings, codec) as sales:
        await old_shipment(settings, writer)
        await new_shipment(writer)
        ahead = [await of_the_future(settings, writer) for _ in range(3)]
        with running(worker):
            await (caught_up(settings, worker) if name == "orders" else sales.caught_up(worker))
            found = await verdict(settings, name)
            assert found.agrees, found.differences
            assert (await metrics(await url_of(worker)))['events_unknown_total{type="OrderWrapped"}'] == 3
    said = worker.logged("events_of_unknown_type_skipped")
    assert said
    assert said["type"] == "OrderWrapped"
    assert parked_rows(settings) == []
    listed = await said_by(settings, "schemas", "unknown")
    wheres = sorted({partition_of(order_id, settings.partitions) for order_id in ahead})
    assert [line.split(":")[0] for line in listed.splitlines()] == ["OrderWrapped"] * len(wheres)
    as_json = [json.loads(line) for line in (await said_by(settings, "schemas", "unknown", "--json")).splitlines()]
    counted = [one for one in as_json if "type" in one]
    assert [one["partition"] for one in counted] == wheres
    assert sum(one["events"] for one in counted) == 3
    tail = await said_by(settings, "log", "tail", "--from-start", "--no-follow", "--order", str(ahead[0]))
    assert "OrderWrapped" in tail.splitlines()[1]


async def test_a_gap_behind_an_event_of_the_future_is_still_a_gap(settings: Settings, orders: Worker) -> None:
    """Exactly the skipped one is allowed: when another version is missing, the order is parked from there on."""
    codec = await prepare(settings)
    async with log_writer(settings, codec) as writer:
        fine, broken = await of_the_future(settings, writer), await of_the_future(settings, writer)
        writer.versions[str(broken)] += 1  # one is lost
        await writer.append([OrderShipped(one, "DHL", "JD01", ("JD01",)) for one in (fine, broken)])
        with running(orders):
            await caught_up(settings, orders)
    parked = parked_rows(settings)
    assert [order_id for order_id, _ in parked] == [broken]
    assert "version 6" in parked[0][1]
    shown = view(settings)
    assert (shown[str(fine)]["status"], shown[str(broken)]["status"]) == ("shipped", "paid")


async def test_an_order_that_begins_in_the_future_waits_and_others_go_on(settings: Settings, orders: Worker) -> None:
    codec = await prepare(settings)
    stranger = placed()
    async with log_writer(settings, codec) as writer:
        await writer.append_written(wrapped(settings, stranger.order_id), stranger.order_id)
        await writer.append([OrderConfirmed(stranger.order_id, 998)])
        known = await new_shipment(writer)
        with running(orders):
            await caught_up(settings, orders)
    parked = parked_rows(settings)
    assert [order_id for order_id, _ in parked] == [stranger.order_id] * 2
    assert "begins with OrderWrapped" in parked[0][1]
    assert set(view(settings)) == {str(known)}
    assert (await verdict(settings, "orders")).agrees


async def test_a_row_of_the_timeline_from_before_the_upgrade_is_no_difference(
    settings: Settings, orders: Worker
) -> None:
    """A view of the same version goes on after an upgrade: rows that an earlier release wrote lack the new fields."""
    codec = await prepare(settings)
    async with log_writer(settings, codec) as writer:
        old = await old_shipment(settings, writer)
        with running(orders):
            await caught_up(settings, orders)
    before = "UPDATE views_g1.order_events SET data = data - 'method' - 'parcels' WHERE order_id = %s"
    with psycopg.connect(settings.postgres_url) as connection:
        connection.execute(before, [old])
    assert (await verdict(settings, "orders")).agrees
    with psycopg.connect(settings.postgres_url) as connection:
        other = """UPDATE views_g1.order_events SET data = data || '{"parcels": ["other"]}' WHERE version = 4"""
        connection.execute(other)
    found = await verdict(settings, "orders")
    assert (found.agrees, found.differences[0]["field"]) == (False, "data")


async def test_one_order_is_made_again_from_both_versions_and_a_type_of_the_future(
    settings: Settings, orders: Worker, tmp_path: Path
) -> None:
    codec = await prepare(settings)
    async with log_writer(settings, codec) as writer:
        old, ahead = await old_shipment(settings, writer), await of_the_future(settings, writer)
        with running(orders):
            await caught_up(settings, orders)
    rows, told = view(settings), [timeline(settings, one) for one in (old, ahead)]
    with psycopg.connect(settings.postgres_url) as connection:
        connection.execute("UPDATE views_g1.orders SET status = 'open', version = 9")
        connection.execute("UPDATE views_g1.order_events SET type = 'OrderPlaced', data = '{}'")
    for one, events in ((old, 5), (ahead, 4)):
        remade = Rebuild(settings, tmp_path, "orders", "--order", str(one))
        remade.start()
        assert (await remade.done())["events"] == events
    assert view(settings) == rows
    assert [timeline(settings, one) for one in (old, ahead)] == told
    assert found_by(settings, "JD01") == {old}
    assert (await verdict(settings, "orders")).agrees


async def test_a_consumer_that_only_knows_version_1_reads_all_of_it(settings: Settings) -> None:
    """Plain fastavro with the first version of each schema, the writer's from the registry: a foreign program."""
    codec = await prepare(settings)
    async with log_writer(settings, codec) as writer:
        await old_shipment(settings, writer)
        await new_shipment(writer)
    first = {name: parse_schema(versions[0]) for name, versions in avro.versions().items()}
    found = []
    topic = settings.topic("order.events")
    with Registry(settings.registry_url) as registry:
        for partition, end in (await log_ends(settings.kafka_bootstrap, topic)).items():
            async for records in read_partition(settings.kafka_bootstrap, topic, partition, 0, end):
                for record in records:
                    schema = registry.schema(int.from_bytes(record.value[1:5]))
                    name = schema["name"]
                    fields: Any = schemaless_reader(BytesIO(record.value[5:]), parse_schema(schema), first[name])
                    found.append((name, {key: value for key, value in fields.items() if key != "order_id"}))
    shipped = [fields for name, fields in found if name == "OrderShipped"]
    paid = [fields for name, fields in found if name == "PaymentRecorded"]
    assert sorted(shipped, key=str) == [
        {"carrier": "DHL", "tracking": "JD01"},
        {"carrier": "UPS", "tracking": "1Z1"},
    ]
    assert sorted(paid, key=str) == [
        {"amount": 998, "reference": "pay-1"},
        {"amount": 998, "reference": "pay-2"},
    ]
