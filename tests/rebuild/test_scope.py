"""What a rebuild may be of: new code, one order, the past; and when it is refused."""

import asyncio
import shutil
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import httpx
import psycopg

import projections
from eventlog.partitioning import partition_of
from eventlog.settings import Settings
from local_stack import standing
from tests.kit.worlds import Worker, eventually, prepare
from tests.projections.histories import history
from tests.projections.log import log_writer
from tests.projections.refold import folded_log, view
from tests.projections.running import append, caught_up, execute, url_of
from tests.rebuild.kit import Rebuild, follows, generations, rebuilt, rows, schemas

CUSTOMERS = "SELECT * FROM views.customers ORDER BY customer_id, currency, partition"


def changed_code(folder: Path, file: str, before: str, after: str) -> Path:
    """A folder, to go before the installed code, with one thing changed in `projections`."""
    (source,) = projections.__path__
    shutil.copytree(source, folder / "projections", ignore=shutil.ignore_patterns("__pycache__"))
    changed = folder / "projections" / file
    text = changed.read_text()
    assert before in text
    changed.write_text(text.replace(before, after))
    return folder


async def test_a_changed_view_says_that_it_needs_a_rebuild(settings: Settings, worker: Worker, tmp_path: Path) -> None:
    codec = await prepare(settings)
    async with log_writer(settings, codec) as writer:
        worker.start()
        await append(writer, 50)
        await caught_up(settings, worker)
        code = changed_code(tmp_path / "newer", "orders/view.py", "    version = 2\n", "    version = 3\n")
        newer = Worker(settings, tmp_path / "newer.log", code=code)
        newer.start()
        assert await asyncio.to_thread(newer.wait, 60) == 1
        assert "made by version 2 of its code, this is 3; run: orderlog rebuild orders" in newer.last_words()
        assert generations(settings) == [(1, "live")]
        rebuild = Rebuild(settings, tmp_path, "orders", "--jobs", "1", code=code)
        rebuild.start()
        await rebuild.done()
        # The worker of the old code has nothing to keep any more, and does not touch what the new code made.
        assert await asyncio.to_thread(worker.wait, 60) == 1
        assert "made by version 3 of its code, this is 2" in worker.last_words()
        by_name = {part.name: part for part in await asyncio.to_thread(standing.of, settings)}
        assert by_name["projection-orders"].state == "needs rebuild"
        assert "run: orderlog rebuild orders" in by_name["projection-orders"].detail
        # Back with the old code: its generation is still there.
        back = Rebuild(settings, tmp_path, "orders", "--rollback")
        back.start()
        await back.done()
    assert generations(settings) == [(1, "live"), (2, "retired")]
    assert view(settings) == await folded_log(settings, codec)


async def test_one_order_is_made_again(settings: Settings, worker: Worker, tmp_path: Path) -> None:
    codec, random = await prepare(settings), Random(4)
    async with log_writer(settings, codec) as writer:
        worker.start()
        await writer.append([event for _ in range(60) for event in history(random)])
        await caught_up(settings, worker)
        right, customers = view(settings), rows(settings, CUSTOMERS)
        damaged = next(iter(right))
        execute(
            settings,
            f"UPDATE views_g1.orders SET status = 'nonsense', total = 1, paid = 7 WHERE order_id = '{damaged}'",
            f"DELETE FROM views_g1.order_lines WHERE order_id = '{damaged}'",
            f"DELETE FROM views_g1.order_events WHERE order_id = '{damaged}' AND version = 1",
            "UPDATE views_g1.customers SET paid = paid + 100",
        )
        remade = Rebuild(settings, tmp_path, "orders", "--order", damaged)
        remade.start()
        assert (await remade.done())["events"] == right[damaged]["version"]
        assert view(settings) == right
        counted = rows(settings, f"SELECT count(*) FROM views.order_events WHERE order_id = '{damaged}'")
        assert counted == [{"count": right[damaged]["version"]}]
        # Only its own customer's totals, in its own partition, were added up again.
        mine = (right[damaged]["customer_id"], partition_of_text(damaged, settings))
        now = rows(settings, CUSTOMERS)
        for before, after in zip(customers, now, strict=True):
            ours = (before["customer_id"], before["partition"]) == mine
            assert after["paid"] == before["paid"] + (0 if ours else 100)
        unknown = Rebuild(settings, tmp_path, "orders", "--order", "00000000-0000-0000-0000-000000000001")
        unknown.start()
        assert "the log has no order 00000000-" in await unknown.refused(2)
        sums = Rebuild(settings, tmp_path, "sales", "--order", damaged)
        sums.start()
        assert "sums over all orders" in await sums.refused(2)


def partition_of_text(order_id: str, settings: Settings) -> int:
    return partition_of(UUID(order_id), settings.partitions)


async def test_the_past_stands_aside(settings: Settings, worker: Worker, tmp_path: Path) -> None:
    codec = await prepare(settings)
    async with log_writer(settings, codec) as writer:
        worker.start()
        await append(writer, 30)
        await caught_up(settings, worker)
        past = view(settings)
        when = datetime.now(UTC)
        await eventually(lambda: (datetime.now(UTC) - when).total_seconds() > 0.01)
        await append(writer, 30, seed=2)
        await caught_up(settings, worker)
    aside = Rebuild(settings, tmp_path, "orders", "--as-of", when.isoformat())
    aside.start()
    done = await aside.done()
    assert done["schema"] == "views_g2"
    assert generations(settings) == [(1, "live"), (2, "aside")]
    found = rows(settings, "SELECT order_id::text, version, status FROM views_g2.orders")
    assert {one["order_id"]: (one["version"], one["status"]) for one in found} == {
        order_id: (order["version"], order["status"]) for order_id, order in past.items()
    }
    assert len(view(settings)) == 60
    dropped = Rebuild(settings, tmp_path, "orders", "--drop-aside")
    dropped.start()
    assert await dropped.done() == {"removed": ["views_g2"]}
    assert schemas(settings) == {"views_g1"}
    for wrong, words in {
        "yesterday": "neither a time",
        "2026-11-25T08:00:00": "lacks its time zone",
        "0:99999999": "does not reach 0:99999999",
    }.items():
        refused = Rebuild(settings, tmp_path, "orders", "--as-of", wrong)
        refused.start()
        assert words in await refused.refused(2)


async def test_a_fold_that_would_park_more_is_not_swapped_in(
    settings: Settings, worker: Worker, tmp_path: Path
) -> None:
    codec = await prepare(settings)
    async with log_writer(settings, codec) as writer:
        worker.start()
        await append(writer, 20)
        await caught_up(settings, worker)
        raising = "def fold(", "def fold(*_: object) -> OrderRow:\n    raise ValueError('planted')\n\n\ndef _fold("
        code = changed_code(tmp_path / "worse", "orders/fold.py", *raising)
        rebuild = Rebuild(settings, tmp_path, "orders", "--jobs", "1", code=code)
        rebuild.start()
        assert "20 orders are parked in generation 2, and 0 in the live one" in await rebuild.refused(1)
        assert generations(settings) == [(1, "live"), (2, "building")]
        assert view(settings) == await folded_log(settings, codec)
        await rebuilt(settings, tmp_path, worker, 2, "orders", "--accept-parked")
    assert view(settings) == {}


async def test_over_the_operations_api(settings: Settings, worker: Worker, tmp_path: Path) -> None:
    codec = await prepare(settings)
    async with log_writer(settings, codec) as writer, httpx.AsyncClient(timeout=60) as http:
        worker.start()
        await append(writer, 100)
        await caught_up(settings, worker)
        url = f"{await url_of(worker)}/rebuild"
        assert (await http.get(url)).json()["rebuild"] is None
        assert (await http.delete(url)).status_code == 404
        refused = await http.post(url, json={"jobs": 0})
        assert refused.status_code == 422
        assert refused.headers["content-type"].startswith("application/problem+json")
        assert "body.jobs" in refused.json()["detail"]
        async with await psycopg.AsyncConnection.connect(settings.postgres_url) as holder:
            await holder.execute("SELECT * FROM orderlog.checkpoints WHERE generation = 1 FOR UPDATE")
            begun = await http.post(url, json={"jobs": 1})
            assert begun.status_code == 202, begun.text
            again = await http.post(url, json={"jobs": 1})
            assert (again.status_code, "is at it already" in again.json()["detail"]) == (409, True)
            watched = await eventually(lambda: in_phase(http, url, "swap"), worker)
            assert (watched["percent"], watched["generation"]) == (100.0, 2)
            assert "orderlog_projection_rebuild_records" in (await http.get(url.replace("rebuild", "metrics"))).text
            cancelled = await http.delete(url)
            assert (cancelled.status_code, cancelled.json()) == (200, {"generation": 2})
        assert generations(settings) == [(1, "live")]
        assert (await http.post(url)).status_code == 202
        await follows(worker, 3)
        before = url
        url = await eventually(lambda: another_url(worker, before), worker)  # port 0 is another one each time
        shown = (await http.get(url)).json()["generations"]
        assert [(one["generation"], one["state"]) for one in shown] == [(1, "retired"), (3, "live")]


async def another_url(worker: Worker, before: str) -> str | None:
    url = f"{await url_of(worker)}/rebuild"
    return url if url != before else None


async def in_phase(http: httpx.AsyncClient, url: str, phase: str) -> dict[str, Any] | None:
    rebuild = (await http.get(url)).json()["rebuild"]
    return rebuild if rebuild and rebuild.get("phase") == phase else None
