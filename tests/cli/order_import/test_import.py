"""`orderlog import` as a real process against a real command API, both killed as it comes."""

import asyncio
import json
import signal
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import psutil
import psycopg
import pytest
from psycopg.rows import dict_row

from eventlog.reader import log_ends
from eventlog.recorded import RecordedEvent
from eventlog.settings import Settings
from local_stack.services import environment_of, orderlog
from local_stack.shop import order_body
from schemas.events import OrderPlaced
from tests.cli.order_import.csv_files import ABOUT, ADDRESS, ITEM, rows_of_items, rows_of_orders, written
from tests.kit.requests import order
from tests.kit.worlds import CommandApi, Worker, eventually, log_of, prepare

MANY = 8_000


@pytest.fixture
def api(settings: Settings, tmp_path: Path) -> Iterator[CommandApi]:
    asyncio.run(prepare(settings))
    process = CommandApi(settings, tmp_path / "api.log")
    yield process
    process.kill()


def file_of(path: Path, orders: Iterable[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(one)}\n" for one in orders))
    return path


def shop(count: int) -> list[dict[str, Any]]:
    """Orders with ids of their own."""
    random = Random(count)
    return [order_body(random, UUID(int=random.getrandbits(128), version=4), {"CUP-WHITE": 1}) for _ in range(count)]


def anonymous(count: int) -> list[dict[str, Any]]:
    """Orders without ids, every content twice."""
    return [order(customer_id=f"customer-{n // 2}") for n in range(count)]


def spawn(api: CommandApi, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        orderlog("import", *arguments, "--json"),
        env=environment_of(api.settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(api: CommandApi, *arguments: str, code: int = 0) -> dict[str, Any]:
    """The summary of an import that ends with `code`."""
    process = spawn(api, *arguments)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    summary: dict[str, Any] = json.loads(out)
    return summary


async def records(api: CommandApi) -> int:
    """Records in the log, barriers among them."""
    return sum((await log_ends(api.settings.kafka_bootstrap, api.settings.topic("order.events"))).values())


async def recorded(api: CommandApi, wanted: int) -> None:
    """Return once the log has `wanted` records or more."""

    async def enough() -> bool:
        return await records(api) >= wanted

    await eventually(enough, timeout_s=120)


async def placed(api: CommandApi) -> list[RecordedEvent]:
    """What was placed, by the log."""
    found = await log_of(api.settings, await prepare(api.settings))
    return [one for one in found if isinstance(one.event, OrderPlaced)]


async def each_once(api: CommandApi, orders: list[dict[str, Any]]) -> None:
    """Every order is in the log exactly once, by its content and by its id."""
    found = await placed(api)
    assert Counter(str(one.event.customer_id) for one in found if isinstance(one.event, OrderPlaced)) == Counter(
        one["customer_id"] for one in orders
    )
    assert len({one.metadata.subject for one in found}) == len(orders)
    if "order_id" in orders[0]:
        assert {one.metadata.subject for one in found} == {one["order_id"] for one in orders}


@pytest.mark.parametrize("orders", [shop(MANY), anonymous(MANY)], ids=["with ids", "without"])
async def test_the_api_killed_while_it_imports(api: CommandApi, tmp_path: Path, orders: list[dict[str, Any]]) -> None:
    """It waits for an API that is not there yet, and lives through its being killed twice."""
    process = spawn(api, str(file_of(tmp_path / "orders.ndjson", orders)))
    await asyncio.to_thread(api.start)
    for part in (MANY // 6, MANY // 2):
        await recorded(api, part)
        api.kill()
        await asyncio.to_thread(api.start)
    out, err = await asyncio.to_thread(process.communicate, timeout=120)
    assert process.returncode == 0, err
    assert json.loads(out)["accepted"] == MANY
    await each_once(api, orders)


async def test_killed_itself_and_run_again(api: CommandApi, tmp_path: Path) -> None:
    await asyncio.to_thread(api.start)
    orders = anonymous(2 * MANY)
    file = str(file_of(tmp_path / "orders.ndjson", orders))
    process = spawn(api, file)
    await recorded(api, MANY // 6)
    process.kill()
    process.wait()
    # Interrupted with requests under way, and nobody is left to hear what becomes of them.
    api.signal(signal.SIGSTOP)
    process = spawn(api, file)
    await eventually(lambda: process.poll() is not None or _is_connected(process, api))
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "orderlog: interrupted; run the same command again to go on, nothing is doubled"
    api.signal(signal.SIGCONT)
    for _ in range(2):
        assert (await asyncio.to_thread(run, api, file))["accepted"] == len(orders)
    await each_once(api, orders)


def _is_connected(process: "subprocess.Popen[str]", api: CommandApi) -> bool:
    connections = psutil.Process(process.pid).net_connections("tcp")
    return any(one.raddr and one.raddr.port == api.settings.command_api_port for one in connections)


async def test_rejected_orders_are_written_down_mended_and_imported(api: CommandApi, tmp_path: Path) -> None:
    await asyncio.to_thread(api.start)
    good = shop(3)
    bad = [{**good[0], "order_id": None, "currency": "XXX"}, {**good[1], "lines": []}, {"customer_id": 7}]
    file = tmp_path / "orders.ndjson"
    file_of(file, [*good, *bad, good[2], good[0]])  # two of them again, and out of order
    with file.open("a") as more:
        more.write("{\n\n[]\n")
    summary = await asyncio.to_thread(run, api, str(file), code=1)
    assert (summary["accepted"], summary["rejected"]) == (5, 5)
    rejects = Path(summary["rejected_file"])
    assert rejects == tmp_path / "orders.ndjson.rejected.ndjson"
    told = _lines(rejects)
    assert [one["line"] for one in told] == [4, 5, 6, 9, 11]
    assert [one["order"] for one in told] == [*bad, "{", []]
    for one, says in zip(
        told, ("ISO 4217", "body.lines: ", "body.customer_id: ", "not JSON", "JSON object"), strict=True
    ):
        assert says in one["reason"]["detail"]
    told[0]["order"]["currency"], told[1]["order"]["lines"] = "EUR", good[1]["lines"]
    told[1]["order"]["order_id"] = None
    mended = file_of(tmp_path / "mended.ndjson", told[:2])
    assert (await asyncio.to_thread(run, api, str(mended)))["accepted"] == 2
    assert not (tmp_path / "mended.ndjson.rejected.ndjson").exists()
    await each_once(api, [{"customer_id": one["customer_id"]} for one in [*good, good[0], good[1]]])


async def test_both_shapes_of_csv_and_when_an_order_was_placed_reach_the_view(api: CommandApi, tmp_path: Path) -> None:
    await asyncio.to_thread(api.start)
    items, whole = shop(40)[:20], shop(40)[20:]
    for n, one in enumerate([*items, *whole]):
        one["placed_at"] = f"2024-05-{n % 28 + 1:02}T09:30:00+02:00"
        one["lines"] = [
            {"sku": "TEA", "quantity": n + 1, "unit_price": 499},
            {"sku": "CUP", "quantity": 1, "unit_price": n},
        ]
    (tmp_path / "items.csv").write_text(written(rows_of_items(items), [*ABOUT, *ADDRESS, *ITEM]))
    (tmp_path / "whole.txt").write_text("\ufeff" + written(rows_of_orders(whole), [*ABOUT, *ADDRESS, "lines"]))
    assert (await asyncio.to_thread(run, api, str(tmp_path / "items.csv")))["accepted"] == 20
    assert (await asyncio.to_thread(run, api, str(tmp_path / "whole.txt"), "--format", "csv"))["accepted"] == 20
    worker = Worker(api.settings, tmp_path / "worker.log")
    worker.start()
    try:
        rows = await eventually(lambda: found if len(found := _rows(api.settings)) == 40 else None, worker)
    finally:
        worker.kill()
    wanted = {one["order_id"]: one for one in [*items, *whole]}
    assert {str(row["order_id"]) for row in rows} == set(wanted)
    for row in rows:
        one = wanted[str(row["order_id"])]
        assert row["placed_at"].isoformat() == one["placed_at"].replace("T09:30:00+02", "T07:30:00+00")
        assert row["total"] == sum(line["quantity"] * line["unit_price"] for line in one["lines"])
    recording = {one.recorded_at.year for one in await placed(api)}
    assert 2024 not in recording


def _lines(file: Path) -> list[dict[str, Any]]:
    """The file's objects, by their line."""
    return sorted(map(json.loads, file.read_text().splitlines()), key=lambda one: int(one["line"]))


def _rows(settings: Settings) -> list[dict[str, Any]]:
    with psycopg.connect(settings.postgres_url, row_factory=dict_row) as connection:
        try:
            return connection.execute("SELECT order_id, placed_at, total FROM views.orders").fetchall()
        except psycopg.errors.UndefinedTable:
            return []


async def test_when_its_keys_were_forgotten_an_order_is_not_doubled(api: CommandApi, tmp_path: Path) -> None:
    forgetful = CommandApi(api.settings.model_copy(update={"idempotency_keep_s": 0.001}), tmp_path / "forgetful.log")
    await asyncio.to_thread(forgetful.start)
    named = shop(4)
    file = str(file_of(tmp_path / "orders.ndjson", [*anonymous(6), *named]))
    try:
        assert (await asyncio.to_thread(run, forgetful, file))["accepted"] == 10
        again = await asyncio.to_thread(run, forgetful, file, code=1)
    finally:
        forgetful.stop()
    # Those without an id got theirs from their content; who has the id of the others, nobody can tell.
    assert (again["accepted"], again["already_there"], again["rejected"]) == (0, 6, 4)
    assert len(await placed(api)) == 10


@pytest.mark.parametrize(
    ("name", "content", "more", "says"),
    [
        ("orders.csv", "customer,email\n", (), "line 1: 'customer' is no column"),
        ("orders.csv", b"\xff\xfe", (), "is not UTF-8"),
        ("orders.txt", "", (), "say --format ndjson or --format csv"),
        ("orders.ndjson", b"x" * 17_000_000, (), "line 1 of"),
        ("orders.ndjson", "", ("--rejected", "orders.ndjson"), "is the file that is imported"),
        (".", None, ("--format", "csv"), "Is a directory"),
        ("none.csv", None, (), "No such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line_and_exit_code_2(
    settings: Settings, tmp_path: Path, name: str, content: str | bytes | None, more: tuple[str, ...], says: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    command = [*orderlog("import", name, *more)]
    environment = environment_of(settings)
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("orderlog: ")
    assert says in line


async def test_what_takes_no_bulk_commands_is_named(api: CommandApi, tmp_path: Path) -> None:
    await asyncio.to_thread(api.start)
    process = spawn(api, str(file_of(tmp_path / "orders.ndjson", shop(1))), "--to", f"{api.url}/nowhere")
    _, err = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 1
    assert "answers 404: it is not orderlog's command API" in err
    process = spawn(api, str(tmp_path / "orders.ndjson"), "--to", "localhost:8000")
    _, err = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 2
    assert "--to localhost:8000 is no URL" in err
