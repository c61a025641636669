"""How librdkafka's clients are set up for a subscriber."""

from typing import Any

from eventlog.settings import Settings

CALL_S = 5.0  # longest a call waits for the broker
_TRANSACTION_MS = 10_000
_QUEUED_KB = 8_192  # of records that were fetched and not taken yet
_LOG_LEVEL = 2  # critical: librdkafka tells of each failed connection, and what matters of it we say ourselves


def consumer_settings(settings: Settings, group: str) -> dict[str, Any]:
    """Of a member of `group` that reads what is committed, and holds a bounded amount of it."""
    return {
        "bootstrap.servers": settings.kafka_bootstrap,
        "group.id": group,
        "client.id": group,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "log_level": _LOG_LEVEL,
        "isolation.level": "read_committed",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": int(settings.group_session_s * 1000),
        "heartbeat.interval.ms": int(settings.group_session_s * 1000 / 3),
        "queued.max.messages.kbytes": _QUEUED_KB,
        "queued.min.messages": 2 * settings.subscriber_batch,
        "fetch.wait.max.ms": 250,
        "fetch.queue.backoff.ms": 20,
        "topic.metadata.refresh.interval.ms": 60_000,
    }


def producer_settings(settings: Settings, transactional_id: str) -> dict[str, Any]:
    """Of a producer of transactions, each of them ended by the broker when this process does not."""
    return {
        "bootstrap.servers": settings.kafka_bootstrap,
        "transactional.id": transactional_id,
        "log_level": _LOG_LEVEL,
        "transaction.timeout.ms": _TRANSACTION_MS,
        "socket.timeout.ms": int(CALL_S * 1000),
        "partitioner": "murmur2_random",  # as in eventlog/partitioning.py
        "linger.ms": 0,
    }
