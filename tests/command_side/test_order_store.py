"""The store of order states: found again after a restart, and thrown away whenever it could be wrong."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from structlog.testing import capture_logs

from benchmarks.orders import order, request, until_ready
from command_side.bootstrap import running_router
from command_side.domain.commands import ConfirmOrder
from command_side.domain.order import Order
from command_side.order_store import Checkpoint, OrderStore, StoreUnusable
from command_side.outcomes import Accepted, CommandRequest
from command_side.partition_state import PartitionState
from command_side.receipts import Receipt
from command_side.routing import Router
from eventlog.settings import Settings
from schemas.codec import EVENT_NAMES, Codec
from schemas.events import Line, WriterElected
from service.folders import own_folder
from tests.kit.worlds import prepare

LOG = "a cluster/a topic/0"
NOW = datetime.now(UTC)


def an_order() -> Order:
    return Order(
        uuid4(), "customer-1", "EUR", (Line("TEA", 2, 250),), payments=frozenset({"pay-1"}), returned={"TEA": 1}
    )


def receipt(time: datetime = NOW) -> Receipt:
    return Receipt("a fingerprint", 1, 7, time)


def test_what_was_written_is_there_after_the_next_opening(tmp_path: Path) -> None:
    kept, at = an_order(), Checkpoint(LOG, 8, 3, WriterElected("w", 3, 1, 2, "http://w"), "an event")
    store = OrderStore.open(tmp_path, LOG)
    assert store.checkpoint == Checkpoint(LOG)
    store.write(at, [kept], {(kept.order_id.int, "key"): receipt()})
    store.close()
    again = OrderStore.open(tmp_path, LOG)
    assert again.checkpoint == at
    assert again.order(kept.order_id) == kept
    assert again.order(uuid4()) is None
    assert again.receipt((kept.order_id.int, "key")) == receipt()
    assert again.receipt((kept.order_id.int, "another")) is None
    again.close()


@pytest.mark.parametrize(
    ("checkpoint", "why"),
    [
        (Checkpoint(LOG, 8, knew=frozenset({*EVENT_NAMES, "OrderWrapped"})), "OrderWrapped"),
        (Checkpoint(LOG, 8, skipped=frozenset({"OrderShipped"})), "OrderShipped"),
    ],
    ids=["a newer release, which was taken back", "an older release, before the upgrade"],
)
def test_a_store_that_another_release_folded_otherwise_is_not_believed(
    tmp_path: Path, checkpoint: Checkpoint, why: str
) -> None:
    kept = an_order()
    store = OrderStore.open(tmp_path, LOG)
    store.write(checkpoint, [kept], {})
    store.close()
    with capture_logs() as logs:
        again = OrderStore.open(tmp_path, LOG)
    assert again.order(kept.order_id) is None
    assert why in logs[0]["reason"]
    again.close()


def test_a_store_that_skipped_what_is_still_not_known_is_believed(tmp_path: Path) -> None:
    kept = an_order()
    store = OrderStore.open(tmp_path, LOG)
    store.write(Checkpoint(LOG, 8, skipped=frozenset({"OrderWrapped"})), [kept], {})
    store.close()
    again = OrderStore.open(tmp_path, LOG)
    assert again.order(kept.order_id) == kept
    again.close()


def test_a_store_of_another_log_is_not_believed(tmp_path: Path) -> None:
    kept = an_order()
    store = OrderStore.open(tmp_path, LOG)
    store.write(Checkpoint(LOG, 8), [kept], {})
    store.close()
    other = OrderStore.open(tmp_path, "another log/0")
    assert other.checkpoint == Checkpoint("another log/0")
    assert other.order(kept.order_id) is None
    other.close()


@pytest.mark.parametrize("pattern", ["CURRENT", "MANIFEST-*", "*.log"])
def test_a_damaged_store_is_thrown_away_or_reads_as_it_was_written(tmp_path: Path, pattern: str) -> None:
    orders = [an_order() for _ in range(2_000)]
    store = OrderStore.open(tmp_path, LOG)
    for number, kept in enumerate(orders):
        store.write(Checkpoint(LOG, number + 1), [kept], {})
    store.close()
    for file in tmp_path.glob(pattern):
        content = bytearray(file.read_bytes())
        content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
        file.write_bytes(content)
    again = OrderStore.open(tmp_path, LOG)
    reached = again.checkpoint.next_offset
    assert [again.order(kept.order_id) for kept in orders[:reached]] == orders[:reached]
    again.close()


def test_the_oldest_receipts_are_dropped_and_only_these(tmp_path: Path) -> None:
    store, keys = OrderStore.open(tmp_path, LOG), [(uuid4().int, f"key-{age}") for age in range(10)]
    receipts = {key: receipt(NOW - timedelta(days=age)) for age, key in enumerate(keys)}
    store.write(Checkpoint(LOG, 1), [], receipts)
    store.forget(NOW - timedelta(days=4, hours=12), at_most=3)
    assert sum(store.receipt(key) is None for key in keys) == 3
    store.forget(NOW - timedelta(days=4, hours=12), at_most=100)
    assert [store.receipt(key) is None for key in keys] == [False] * 5 + [True] * 5
    store.close()


def test_an_order_is_found_wherever_it_is_and_memory_is_bounded(tmp_path: Path) -> None:
    state = PartitionState(OrderStore.open(tmp_path, LOG), timedelta(days=7), cached_orders=20)
    orders = [an_order() for _ in range(5_000)]
    for number, kept in enumerate(orders):
        state.commit({kept.order_id.int: kept}, {}, 1, f"event {number}")
    assert [state.order(kept.order_id) for kept in orders] == orders
    changed = replace(orders[0], version=2)
    state.commit({changed.order_id.int: changed}, {}, 1, "the change")
    assert [state.order(kept.order_id) for kept in orders] == [changed, *orders[1:]]
    assert state.in_memory <= 1_000 + 3 * 20
    state.close()


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    with own_folder(tmp_path) as first:
        assert first == tmp_path / "0"
        # The lock is the process's: only another one can show that it holds.
        done = asyncio.run(_claimed_by_another_process(tmp_path))
        assert done == str(tmp_path / "1")
    assert asyncio.run(_claimed_by_another_process(tmp_path)) == str(tmp_path / "0")


async def _claimed_by_another_process(parent: Path) -> str:
    code = (
        "import sys; from pathlib import Path; from service.folders import own_folder\n"
        "with own_folder(Path(sys.argv[1])) as folder: print(folder, end='')"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(parent), stdout=asyncio.subprocess.PIPE
    )
    return (await process.communicate())[0].decode()


@asynccontextmanager
async def router(settings: Settings, codec: Codec) -> AsyncIterator[Router]:
    async with running_router(settings, codec, "http://test") as running:
        await until_ready(running)
        yield running


async def placed(settings: Settings, codec: Codec, count: int) -> list[CommandRequest]:
    requests = [request(order()) for _ in range(count)]
    async with router(settings, codec) as running:
        outcomes = await asyncio.gather(*(running.submit(one) for one in requests))
    assert {type(outcome) for outcome in outcomes} == {Accepted}
    return requests


async def known(settings: Settings, codec: Codec, requests: list[CommandRequest]) -> list[dict[str, object]]:
    """Hold a new writer to what was answered before: keys, and each order's version. What it logged."""
    with capture_logs() as logs:
        async with router(settings, codec) as running:
            for one in requests:
                again = await running.submit(one)
                assert isinstance(again, Accepted)
                confirm = replace(request(ConfirmOrder(one.command.order_id)), expected_version=1)
                assert isinstance(await running.submit(confirm), Accepted)
    return [dict(entry) for entry in logs]


async def test_a_restart_folds_only_the_tail(settings: Settings) -> None:
    codec = await prepare(settings)
    requests = await placed(settings, codec, 60)
    logs = await known(settings, codec, requests)
    opened = [entry["offset"] for entry in logs if entry["event"] == "order_store_opened"]
    assert sum(int(str(offset)) for offset in opened) == 60 + settings.partitions  # the barriers too


async def test_a_store_that_is_ahead_of_the_log_or_folded_from_another_copy_is_made_again(settings: Settings) -> None:
    codec = await prepare(settings)
    requests = await placed(settings, codec, 30)
    ahead, altered = (settings.data_dir / "orders" / "0" / str(partition) for partition in (0, 1))
    _tamper(ahead, next_offset=1_000)
    _tamper(altered, last_event_id="of another log")
    logs = await known(settings, codec, requests)
    discarded = [str(entry["reason"]) for entry in logs if entry["event"] == "order_store_discarded"]
    assert len(discarded) == 2
    assert any("the log ends at" in reason for reason in discarded)
    assert any("was folded from of another log" in reason for reason in discarded)


def _tamper(folder: Path, **changes: object) -> None:
    log_id = _log_id(folder)
    store = OrderStore.open(folder, log_id)
    assert store.checkpoint.next_offset > 1
    store.write(msgspec.structs.replace(store.checkpoint, **changes), [], {})
    store.close()


def _log_id(folder: Path) -> str:
    try:
        OrderStore(folder, "").close()
    except StoreUnusable as unusable:
        return str(unusable).removeprefix("it is of ").partition(" in format")[0]
    raise AssertionError("the store is of no log")


def test_ids_are_not_mixed_up_with_keys(tmp_path: Path) -> None:
    store, one, other = OrderStore.open(tmp_path, LOG), 1, 2
    store.write(Checkpoint(LOG, 1), [], {(one, "k"): receipt(), (other, "k"): receipt()._replace(version=2)})
    found = store.receipt((other, "k"))
    assert found
    assert found.version == 2
    store.close()
