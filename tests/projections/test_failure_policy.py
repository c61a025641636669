"""The real worker process among failures: poison in the traffic, full disks, lost partners, and standing still."""

import asyncio
import io
import json
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from cli.errors import explained
from cli.main import app
from eventlog.partitioning import partition_of
from eventlog.reader import log_ends
from eventlog.settings import Settings
from local_stack.process import Child
from local_stack.services import environment_of, orderlog
from local_stack.supervision import Supervised
from schemas import avro, publish
from schemas.codec import Codec
from schemas.events import Line, OrderConfirmed, OrderPlaced
from schemas.registry import Registry
from tests.kit.worlds import Worker, eventually, own_postgres, own_registry, prepare
from tests.projections.histories import history, placed
from tests.projections.log import LogWriter, log_writer
from tests.projections.refold import folded_log, next_offsets, view
from tests.projections.sabotage import (
    worker_in_another_group,
    worker_that_gets_no_events,
    worker_with_a_blocked_loop,
)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"watch_every_s": 0.5})


@contextmanager
def running(*workers: Worker) -> Iterator[None]:
    """Start `workers`; kill them in the end."""
    try:
        for worker in workers:
            worker.start()
        yield
    finally:
        for worker in workers:
            worker.kill()


async def append(writer: LogWriter, orders: int, seed: int = 1) -> None:
    random = Random(seed)
    await writer.append([event for _ in range(orders) for event in history(random)])


async def caught_up(settings: Settings, worker: Worker) -> None:
    ends = await log_ends(settings.kafka_bootstrap, settings.topic("order.events"))
    wanted = {partition: end for partition, end in ends.items() if end}
    await eventually(lambda: next_offsets(settings) == wanted, worker)


async def url_of(worker: Worker) -> str:
    return str((await eventually(lambda: worker.logged("listening"), worker))["url"])


async def readiness(url: str) -> Mapping[str, Any]:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{url}/readyz")
    return {**answer.json(), "status_code": answer.status_code}


async def becomes(url: str, worker: Worker, state: str) -> Mapping[str, Any]:
    """Readiness, once the watchdog says `state`."""

    async def reached() -> Mapping[str, Any] | None:
        said = await readiness(url)
        return said if said["state"] == state else None

    found: Mapping[str, Any] = await eventually(reached, worker)
    return found


async def metrics(url: str) -> dict[str, float]:
    """{name, with labels other than those all have: value} of the worker's own metrics."""
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"{url}/metrics")).text
    found: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith("orderlog_projection_"):
            name, _, value = line.removeprefix("orderlog_projection_").rpartition(" ")
            for common in ('generation="1"', 'projection="orders"'):
                name = name.replace(f",{common}", "").replace(f"{common},", "").replace(common, "")
            found[name.removesuffix("{}")] = float(value)
    return found


async def told(settings: Settings, *arguments: str, code: int = 0) -> str:
    """What `orderlog dlq …` says; on standard error, when it says nothing else."""

    def run() -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name, value in environment_of(settings).items():
                patch.setenv(name, value)
            returned = explained(lambda: app(["dlq", *arguments], standalone_mode=False))
        return returned, out.getvalue(), err.getvalue()

    returned, out, err = await asyncio.to_thread(run)
    assert returned == code, err
    return out or err


async def dlq(settings: Settings, *arguments: str, code: int = 0) -> Any:
    """What `orderlog dlq … --json` answers."""
    said = await told(settings, *arguments, "--json", code=code)
    return json.loads(said) if said.startswith("{") else said


def execute(settings: Settings, *statements: str) -> None:
    with psycopg.connect(settings.postgres_url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


async def notices(settings: Settings, count: int) -> list[Any]:
    """The first `count` records of order.events.dlq."""
    where = TopicPartition(settings.topic("order.events.dlq"), 0)
    async with AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap) as consumer:
        consumer.assign([where])
        await consumer.seek_to_beginning(where)
        return [await consumer.getone() for _ in range(count)]


def only_cheap(settings: Settings) -> None:
    """What an administrator might do to a view: an event of an order that costs more cannot be applied."""
    execute(settings, "ALTER TABLE views_g1.orders ADD CONSTRAINT cheap CHECK (total < 1000000000)")


def expensive() -> OrderPlaced:
    return placed(lines=(Line("GOLD", 1, 2_000_000_000),))


async def test_poison_in_the_traffic_parks_one_order_and_a_redrive_brings_it_back(
    settings: Settings, tmp_path: Path
) -> None:
    codec, worker, order = await prepare(settings), Worker(settings, tmp_path / "worker.log"), expensive()
    home = partition_of(order.order_id, settings.partitions)
    async with log_writer(settings, codec) as writer:
        with running(worker):
            url = await url_of(worker)
            only_cheap(settings)
            await append(writer, 30)
            at = await writer.append([order])
            await append(writer, 30, seed=2)
            stray = await writer.append_bytes(b"nonsense", (home + 1) % settings.partitions)
            await writer.append([OrderConfirmed(order.order_id, 2_000_000_000)])
            await append(writer, 30, seed=3)
            await caught_up(settings, worker)

            listed = (await dlq(settings, "list"))["parked"]
            assert {one["state"] for one in listed if one["order_id"]} == {"failed", "behind"}
            assert [one["order_id"] for one in listed].count(str(order.order_id)) == 2
            assert len(listed) == 3
            assert "CheckViolation" in (await dlq(settings, "show", f"{home}:{at}"))["parked"][0]["traceback"]
            assert (await metrics(url))["events_parked_total"] == 3
            await eventually(lambda: _parked_orders(url, 2), worker)
            sent = await notices(settings, 3)
            assert {str(order.order_id).encode(), None} == {one.key for one in sent}
            headers = {name: value.decode() for name, value in sent[0].headers if name.startswith("parked_")}
            assert (headers["parked_by"], headers["parked_generation"]) == ("orders", "1")
            assert {"parked_position", "parked_reason", "parked_attempts"} < set(headers)

            assert (await dlq(settings, "redrive", "--all", code=1))["outcomes"][0]["applied"] == 0
            execute(settings, "ALTER TABLE views_g1.orders DROP CONSTRAINT cheap")
            for words in (str(order.order_id), f"{home}:{at}", "failed", "behind", "check constraint"):
                assert words in await told(settings, "list")
            assert "Traceback" in await told(settings, "show", f"{home}:{at}")
            redrive = ("redrive", "--order", str(order.order_id))
            assert (await dlq(settings, *redrive, "--dry-run"))["outcomes"][0]["applied"] == 2
            assert "2 applied" in await told(settings, *redrive)
            assert "is not parked" in await dlq(settings, *redrive, code=2)
            where = f"{(home + 1) % settings.partitions}:{stray}"
            assert "--yes" in await dlq(settings, "discard", where, code=2)
            assert (await dlq(settings, "discard", where, "--yes"))["outcomes"][0]["discarded"] == 1
            assert await dlq(settings, "list") == {"parked": []}
            await append(writer, 5, seed=4)
            await caught_up(settings, worker)
    assert view(settings) == await folded_log(settings, codec, but={where})


async def _parked_orders(url: str, wanted: int) -> bool:
    return (await metrics(url)).get("parked_orders") == wanted


async def test_the_same_over_http(settings: Settings, tmp_path: Path) -> None:
    codec, worker, order = await prepare(settings), Worker(settings, tmp_path / "worker.log"), expensive()
    with running(worker):
        url = await url_of(worker)
        only_cheap(settings)
        async with log_writer(settings, codec) as writer:
            await writer.append([order, OrderConfirmed(order.order_id, 2_000_000_000)])
        await caught_up(settings, worker)
        async with httpx.AsyncClient(base_url=url) as client:
            parked = (await client.get("/parked")).json()["parked"]
            assert [one["state"] for one in parked] == ["failed", "behind"]
            whole = (await client.get(f"/parked/{parked[0]['position']}")).json()
            assert whole["headers"]["ce_type"] == "OrderPlaced"
            assert (await client.get("/parked/0:999")).status_code == 404
            refused = await client.post("/parked/discard", json={"order_id": str(order.order_id)})
            assert (refused.status_code, refused.json()["type"]) == (409, "urn:orderlog:problem:discard-refused")
            for wrong in ({}, {"all": True, "position": "0:1"}, {"order_id": "7"}, {"position": "x"}, {"every": 1}):
                assert (await client.post("/parked/redrive", json=wrong)).status_code == 422
            assert (await client.post("/parked/redrive", content="all")).status_code == 422
            again = (await client.post("/parked/redrive", json={"all": True})).json()["outcomes"]
            assert [(one["applied"], one["left"]) for one in again] == [(0, 2)]
            execute(settings, "ALTER TABLE views_g1.orders DROP CONSTRAINT cheap")
            done = (await client.post("/parked/redrive", json={"all": True})).json()["outcomes"]
            assert [(one["applied"], one["left"]) for one in done] == [(2, 0)]
    assert view(settings) == await folded_log(settings, codec)


async def test_a_full_disk_is_waited_out_and_said_everywhere(settings: Settings, tmp_path: Path) -> None:
    codec, worker = await prepare(settings), Worker(settings, tmp_path / "worker.log")
    with running(worker):
        url = await url_of(worker)
        execute(
            settings,
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION "
            "'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$",
            "CREATE TRIGGER full_disk BEFORE INSERT ON views_g1.orders EXECUTE FUNCTION full_disk()",
        )
        async with log_writer(settings, codec) as writer:
            await append(writer, 30)
        said = await becomes(url, worker, "waiting")
        assert (said["status_code"], "No space left" in said["reason"]) == (503, True)
        assert worker.logged("projection_waits")
        counted = await metrics(url)
        assert counted['retries_total{cause="disk_full"}'] >= 1
        assert counted['state{state="waiting"}'] == 1
        execute(settings, "DROP TRIGGER full_disk ON views_g1.orders")
        await caught_up(settings, worker)
        assert (await becomes(url, worker, "idle"))["status_code"] == 200
        assert await dlq(settings, "list") == {"parked": []}
        counted = await metrics(url)
        assert sum(value for name, value in counted.items() if name.startswith("lag_events")) == 0
        assert counted['position{partition="0"}'] == counted['log_end{partition="0"}'] > 0
    assert view(settings) == await folded_log(settings, codec)


class NewerWriter:
    """Stands in for the codec of a command side that is one version ahead: OrderConfirmed has one more field."""

    def __init__(self, codec: Codec, settings: Settings) -> None:
        self._codec = codec
        field = {"name": "channel", "type": ["null", "string"], "default": None}
        schema = avro.latest("OrderConfirmed")
        newer = {**schema, "fields": [*schema["fields"], field]}
        with Registry(settings.registry_url) as registry:
            subject = publish.subject_of(settings.topic("order.events"), "OrderConfirmed")
            self._id = registry.register(subject, newer)

    def encode(self, event: OrderConfirmed) -> bytes:
        """`event`, its new field null."""
        return b"\x00" + self._id.to_bytes(4) + self._codec.encode(event)[5:] + b"\x00"


async def test_the_registry_away_while_a_schema_is_new_is_waited_out(settings: Settings, tmp_path: Path) -> None:
    with own_registry(settings, tmp_path) as (registry, here):
        codec, worker, order = await prepare(here), Worker(here, tmp_path / "worker.log"), placed()
        async with log_writer(here, codec) as writer:
            with running(worker):
                url = await url_of(worker)
                await append(writer, 5)
                await writer.append([order])
                await caught_up(here, worker)
                newer = NewerWriter(codec, here)
                registry.kill()
                await writer.append_encoded(newer.encode(OrderConfirmed(order.order_id, 998)), order.order_id, 2)
                await append(writer, 5, seed=2)
                said = await becomes(url, worker, "waiting")
                assert (said["status_code"], "schema registry" in said["reason"]) == (503, True)
                registry.start()
                await caught_up(here, worker)
                assert (await metrics(url))["events_parked_total"] == 0
        assert view(here) == await folded_log(here, codec)


@asynccontextmanager
async def held_back(settings: Settings) -> AsyncIterator[None]:
    """The view's positions are locked by somebody else: no batch can be applied."""
    async with await psycopg.AsyncConnection.connect(settings.postgres_url) as connection:
        await connection.execute("SELECT * FROM orderlog.checkpoints FOR UPDATE")
        yield


async def committed(settings: Settings) -> dict[int, int]:
    """{partition: offset} that the worker's group committed to Kafka."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    try:
        groups = [name for name, _ in await admin.list_consumer_groups() if name.startswith(settings.topic_prefix)]
        found = [await admin.list_consumer_group_offsets(name) for name in groups]
    finally:
        await admin.close()
    return {where.partition: offset.offset for one in found for where, offset in one.items() if offset.offset > 0}


async def test_what_kafka_has_committed_follows_the_view_and_never_leads_also_when_partitions_move(
    settings: Settings, tmp_path: Path
) -> None:
    """A rebalance comes in the middle of a batch that Postgres holds back."""
    codec, worker = await prepare(settings), Worker(settings, tmp_path / "worker.log")
    other = Worker(settings, tmp_path / "other.log")
    async with log_writer(settings, codec) as writer:
        with running(worker):
            await append(writer, 30)
            await caught_up(settings, worker)
            before = next_offsets(settings)
            async with held_back(settings):
                await append(writer, 60, seed=2)
                await eventually(lambda: committed_is(settings, before), worker)
                other.start()
                try:
                    await eventually(lambda: other.logged("reading_from"), other)
                    # Both hold batches by now; neither may say that they are done.
                    assert await committed(settings) == before
                    assert next_offsets(settings) == before
                except BaseException:
                    other.kill()
                    raise
            await caught_up(settings, worker)
            # A commit goes with a batch: one that another worker has applied meanwhile is caught up on with the next.
            await append(writer, 30, seed=3)
            await caught_up(settings, worker)
            await eventually(lambda: committed_is(settings, next_offsets(settings)), other)
            other.stop()
    assert view(settings) == await folded_log(settings, codec)


async def committed_is(settings: Settings, wanted: Mapping[int, int]) -> bool:
    found = await committed(settings)
    reached = next_offsets(settings)
    assert all(offset <= reached.get(partition, 0) for partition, offset in found.items()), "Kafka leads"
    return found == wanted


async def test_two_workers_deliberately_running_for_every_partition_apply_each_event_once(
    settings: Settings, tmp_path: Path
) -> None:
    codec, worker = await prepare(settings), Worker(settings, tmp_path / "worker.log")
    other = worker_in_another_group(settings, tmp_path / "other.log")
    async with log_writer(settings, codec) as writer:
        await append(writer, 50)
        with running(worker, other):
            for seed in range(2, 30):
                await append(writer, 50, seed)
            await caught_up(settings, worker)
            for one in (worker, other):
                assert _offsets(one).keys() == {"0", "1", "2"}
                assert one.is_alive()
    assert view(settings) == await folded_log(settings, codec)


async def test_standing_still_though_postgres_answers_ends_the_process(settings: Settings, tmp_path: Path) -> None:
    settings = settings.model_copy(update={"stuck_after_s": 3.0, "slow_after_s": 0.5})
    codec, worker = await prepare(settings), Worker(settings, tmp_path / "worker.log")
    async with log_writer(settings, codec) as writer:
        with running(worker):
            url = await url_of(worker)
            await append(writer, 5)
            await caught_up(settings, worker)
            await becomes(url, worker, "idle")
            async with held_back(settings):
                await append(writer, 5, seed=2)
                await becomes(url, worker, "slow")
                reason = await said_why(worker)
            assert reason.startswith("stuck: for 3 s the view stood still, with events ahead: partition ")
            worker.start()
            await caught_up(settings, worker)
    assert view(settings) == await folded_log(settings, codec)


async def test_an_assignment_that_does_not_come_ends_the_process(settings: Settings, tmp_path: Path) -> None:
    settings = settings.model_copy(update={"assignment_within_s": 2.0})
    await prepare(settings)
    worker = worker_that_gets_no_events(settings, tmp_path / "worker.log")
    with running(worker):
        reason = await said_why(worker)
    assert reason == "stuck: for 2 s no partitions were assigned, or no events came of them"


async def test_a_process_in_which_nothing_runs_any_more_ends_and_says_where_it_was(
    settings: Settings, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"stuck_after_s": 1.0})
    codec = await prepare(settings)
    worker = worker_with_a_blocked_loop(settings, tmp_path / "worker.log")
    with running(worker):
        async with log_writer(settings, codec) as writer:
            await writer.append([placed()])
        assert await asyncio.to_thread(worker.wait, 60) == 1
    assert "Timeout (" in worker.log_file.read_text()
    assert "worker.py" in worker.log_file.read_text()


async def test_postgres_away_during_a_rebalance_ends_processes_that_come_back_by_themselves(
    settings: Settings, tmp_path: Path
) -> None:
    """Longer than a worker waits for its positions; a supervisor starts them until Postgres is back."""
    settings = settings.model_copy(update={"start_wait_s": 2.0})
    with own_postgres(settings, tmp_path) as (postgres, here):
        codec = await prepare(here)
        one, two = (Worker(here, tmp_path / f"{name}.log") for name in ("one", "two"))
        supervised = Supervised(one, one.start)
        async with log_writer(here, codec) as writer:
            with running(one, two):
                await append(writer, 20)
                await eventually(lambda: len(_offsets(one)) + len(_offsets(two)) == 3)
                await caught_up(here, one)
                postgres.kill()
                await append(writer, 20, seed=2)
                two.kill()  # its partitions go to the other one, which cannot learn where to begin
                await eventually(lambda: _tended(supervised) and supervised.restarts)
                stopped = [line for line in one.log_file.read_text().splitlines() if "projection_stopped" in line]
                assert "Postgres did not answer for 2 s" in stopped[0]
                postgres.start()
                await eventually(lambda: _tended(supervised) and _reached(here))
        assert view(here) == await folded_log(here, codec)


def _offsets(worker: Worker) -> dict[str, int]:
    """Where the worker began to read after the last rebalance."""
    return dict((worker.logged("reading_from") or {}).get("offsets", {}))


def _tended(supervised: Supervised) -> bool:
    supervised.tend()
    return True


async def _reached(settings: Settings) -> bool:
    ends = await log_ends(settings.kafka_bootstrap, settings.topic("order.events"))
    return next_offsets(settings) == {partition: end for partition, end in ends.items() if end}


async def test_killed_in_the_middle_of_a_redrive_everything_stays_parked(settings: Settings, tmp_path: Path) -> None:
    codec, worker, order = await prepare(settings), Worker(settings, tmp_path / "worker.log"), expensive()
    with running(worker):
        await url_of(worker)
        only_cheap(settings)
        async with log_writer(settings, codec) as writer:
            await writer.append([order, OrderConfirmed(order.order_id, 2_000_000_000)])
        await caught_up(settings, worker)
        execute(
            settings,
            "ALTER TABLE views_g1.orders DROP CONSTRAINT cheap",
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$",
            "CREATE TRIGGER slow BEFORE INSERT ON views_g1.orders FOR EACH ROW EXECUTE FUNCTION slow()",
        )
        command = orderlog("dlq", "redrive", "--all")
        redrive = Child("redrive", command, tmp_path / "redrive.log", environment=environment_of(settings))
        redrive.start()
        await eventually(lambda: _sleeping(settings), redrive)
        redrive.signal(signal.SIGKILL)
        redrive.kill()
        execute(settings, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
        execute(settings, "DROP TRIGGER slow ON views_g1.orders")
        assert [one["state"] for one in (await dlq(settings, "list"))["parked"]] == ["failed", "behind"]
        assert (await dlq(settings, "redrive", "--all"))["outcomes"][0]["applied"] == 2
    assert view(settings) == await folded_log(settings, codec)


def _sleeping(settings: Settings) -> bool:
    with psycopg.connect(settings.postgres_url, autocommit=True) as connection:
        return bool(connection.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'").fetchone())


async def said_why(worker: Worker) -> str:
    """Why the process ended by itself, with status 1."""
    assert await asyncio.to_thread(worker.wait, 60) == 1
    stopped = worker.logged("projection_stopped")
    assert stopped, worker.last_words()
    return str(stopped["reason"])
