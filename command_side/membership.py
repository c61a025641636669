"""This instance's place in the consumer group that shares the partitions of order.events out.

The group says who should stand for election, nothing more; who may append, the fence says. So nothing is given up when
a rebalance begins, and an owner that lost a partition writes on until its successor's barrier is in the log.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Self

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

from eventlog.settings import Settings
from schemas.topics import ORDER_EVENTS

log = structlog.get_logger()

_HEARTBEAT_S = 0.5
_POLL_MS = 500
_LEAVE_S = 3.0
_BACK_OFF_S = 1.0

Assigned = Callable[[frozenset[int]], None]


class Membership:
    """A member of the group while entered. `assigned` is called with all partitions that are this instance's now."""

    def __init__(self, settings: Settings, assigned: Assigned) -> None:
        self._settings = settings
        self._assigned = assigned
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._belong_always())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    async def leave(self) -> None:
        """Leave the group, so that the others share out what was this instance's."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _belong_always(self) -> None:
        while True:
            try:
                await self._belong()
            except Exception as error:  # without the group this instance would never get a partition
                log.warning("group_lost", reason=repr(error))
                await asyncio.sleep(_BACK_OFF_S)

    async def _belong(self) -> None:
        consumer = self._consumer()
        try:
            await consumer.start()
            consumer.subscribe([self._settings.topic(ORDER_EVENTS.name)], listener=_Listener(consumer, self._assigned))
            while True:
                # Nothing is read here; but a member that never asks is thought to be stuck, and leaves.
                await consumer.getmany(timeout_ms=_POLL_MS)
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LEAVE_S):
                    await consumer.stop()

    def _consumer(self) -> AIOKafkaConsumer:
        settings = self._settings
        return AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap,
            group_id=f"{settings.topic_prefix}command-api",
            session_timeout_ms=int(settings.group_session_s * 1000),
            heartbeat_interval_ms=int(_HEARTBEAT_S * 1000),
            # What moves least; its state is its class's, so each consumer has a class of its own.
            partition_assignment_strategy=[type("Sticky", (StickyPartitionAssignor,), {})],
            enable_auto_commit=False,
            auto_offset_reset="latest",
            fetch_max_bytes=1,
        )


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    def __init__(self, consumer: AIOKafkaConsumer, assigned: Assigned) -> None:
        self._consumer, self._on_assigned = consumer, assigned

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Keep them: see above."""

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._consumer.pause(*assigned)
        self._on_assigned(frozenset(where.partition for where in assigned))
