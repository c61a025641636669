"""Worlds of tests of projections."""

import asyncio
from collections.abc import AsyncIterator

import pytest

import migrations
from eventlog.settings import Settings
from projections.generations import live_generation
from service.database import connect
from tests.projections.parking_world import (
    VIEW,
    World,
)


@pytest.fixture
async def world(settings: Settings) -> AsyncIterator[World]:
    await asyncio.to_thread(migrations.upgrade, settings.postgres_url)
    async with await connect(settings.postgres_url) as connection:
        yield World(settings, connection, await live_generation(connection, VIEW))
