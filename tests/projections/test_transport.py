"""What of the transport no broker brings about at will; others run it on a real one."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread

from projections.transport import LogConsumerThread


async def test_a_seek_gives_up_the_fetch_that_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that began before a rebalance would take records behind the new position, for nobody."""
    steps: list[str] = []
    waiting = asyncio.Event()

    async def fetch(*_: Any) -> dict[Any, list[Any]]:
        waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            steps.append("given up")
        return {}

    async def seek(*_: Any) -> None:
        await asyncio.sleep(0)
        steps.append("sought")

    monkeypatch.setattr(AIOKafkaConsumerThread, "__init__", lambda self: None)
    monkeypatch.setattr(AIOKafkaConsumerThread, "_fetch_records", fetch)
    monkeypatch.setattr(AIOKafkaConsumerThread, "_seek_wait", seek)
    thread = LogConsumerThread()
    consumer = SimpleNamespace(_fetcher=SimpleNamespace(_records={}))
    fetching = asyncio.create_task(thread._fetch_records(consumer, set(), 1.0))
    await waiting.wait()
    await thread._seek_wait(consumer, {})
    assert await fetching == {}
    assert steps == ["given up", "sought"]
