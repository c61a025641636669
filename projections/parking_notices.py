"""Notices of parked events on order.events.dlq, for people and tools. The rows are the truth; these follow them."""

import asyncio
from contextlib import suppress

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from psycopg import Error
from psycopg.rows import dict_row

from eventlog.recorded import Header
from projections.parking_records import ParkedEvent, from_row
from service.database import Database

log = structlog.get_logger()

_EVERY_S = 10.0
_AT_ONCE = 200
_MOST_BYTES = 500_000  # with its headers it must not be too large for a broker; a larger value stays in the log
_UNANNOUNCED = """
    SELECT * FROM orderlog.parked_events WHERE announced_at IS NULL AND projection = %s
    AND generation IN (SELECT generation FROM orderlog.generations WHERE state = 'live')
    ORDER BY partition, "offset" LIMIT %s
"""
_ANNOUNCED = """
    UPDATE orderlog.parked_events SET announced_at = now()
    WHERE generation = %s AND partition = %s AND "offset" = %s
"""


class Notices:
    """Publishes what is parked of one projection to `topic`, each at least once, whichever worker parked it.

    What a rebuild parks is told once its generation is live.
    """

    def __init__(self, postgres_url: str, bootstrap: str, topic: str, projection: str) -> None:
        self._database = Database(postgres_url)
        self._bootstrap = bootstrap
        self._topic = topic
        self._projection = projection
        self._parked = asyncio.Event()

    def hurry(self) -> None:
        """Something was parked just now."""
        self._parked.set()

    async def run(self) -> None:
        """Publish, for ever; what could not be published is tried again."""
        try:
            while True:
                self._parked.clear()
                try:
                    while await self._publish_some() == _AT_ONCE:
                        pass
                except (Error, KafkaError, OSError) as error:
                    log.warning("parked_events_not_announced", reason=str(error).strip() or type(error).__name__)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._parked.wait(), _EVERY_S)
        finally:
            await self._database.close()

    async def _publish_some(self) -> int:
        async with self._database.connection() as connection:
            async with connection.cursor(row_factory=dict_row) as cursor:
                await cursor.execute(_UNANNOUNCED, [self._projection, _AT_ONCE])
                events = [from_row(row) for row in await cursor.fetchall()]
            if not events:
                return 0
            async with AIOKafkaProducer(bootstrap_servers=self._bootstrap, enable_idempotence=True) as producer:
                for event in events:
                    key = str(event.order_id).encode() if event.order_id else event.key
                    value = event.value if event.value and len(event.value) <= _MOST_BYTES else b""
                    await producer.send_and_wait(self._topic, value, key, headers=notice_headers(event))
                    where = [event.generation, event.partition, event.offset]
                    await connection.execute(_ANNOUNCED, where)
        return len(events)


def notice_headers(event: ParkedEvent) -> list[Header]:
    """The record's own headers, and which projection parked it, where, why."""
    told = {
        "parked_by": event.projection,
        "parked_generation": str(event.generation),
        "parked_position": str(event.position),
        "parked_reason": event.reason,
        "parked_attempts": str(event.attempts),
    }
    return [*event.headers, *((name, value.encode()) for name, value in told.items())]
