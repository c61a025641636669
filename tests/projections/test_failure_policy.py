"""The real worker process among failures that pass: full disks, registries away, partners that come and go."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from eventlog.settings import Settings
from schemas import avro, publish
from schemas.codec import Codec
from schemas.events import OrderConfirmed
from schemas.registry import Registry
from tests.kit.worlds import Worker, eventually, own_postgres, own_registry, prepare, standing_still
from tests.projections.histories import placed
from tests.projections.log import log_writer
from tests.projections.refold import folded_log, next_offsets, view
from tests.projections.running import (
    append,
    becomes,
    caught_up,
    dlq,
    execute,
    held_back,
    metrics,
    offsets_of,
    running,
    url_of,
)
from tests.projections.sabotage import (
    worker_in_another_group,
)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"watch_every_s": 0.5})


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


async def test_postgres_that_stands_still_is_waited_for_and_said(settings: Settings, tmp_path: Path) -> None:
    """SIGSTOP: its connections stay open, and nothing ever comes back on them."""
    with own_postgres(settings, tmp_path) as (postgres, here):
        codec, worker = await prepare(here), Worker(here, tmp_path / "worker.log")
        async with log_writer(here, codec) as writer:
            with running(worker):
                url = await url_of(worker)
                await append(writer, 20)
                await caught_up(here, worker)
                with standing_still(postgres):
                    await append(writer, 20, seed=2)
                    said = await becomes(url, worker, "waiting")
                    assert (said["status_code"], "Postgres does not answer" in said["reason"]) == (503, True)
                await caught_up(here, worker)
                assert (await becomes(url, worker, "idle"))["status_code"] == 200
                assert (await metrics(url))["events_parked_total"] == 0
        assert view(here) == await folded_log(here, codec)


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
        with running(worker, other):
            await append(writer, 50)
            await eventually(lambda: offsets_of(worker) and offsets_of(other))
            for seed in range(2, 30):
                await append(writer, 50, seed)
            await caught_up(settings, worker)
            for one in (worker, other):
                assert offsets_of(one).keys() == {"0", "1", "2"}
                assert one.is_alive()
    assert view(settings) == await folded_log(settings, codec)
