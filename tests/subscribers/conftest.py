"""A world with public topics, and a subscriber's tables."""

import psycopg
import pytest

from eventlog import topic_admin
from eventlog.settings import Settings
from local_stack import preparing
from tests.kit.subscribers import PublicTopics
from tests.subscribers.echo import ECHO, TABLES


@pytest.fixture
async def topics(settings: Settings) -> PublicTopics:
    """The world's public topics; its database is migrated."""
    await preparing.prepare(settings)
    return PublicTopics(settings)


@pytest.fixture
async def echo(topics: PublicTopics, settings: Settings) -> PublicTopics:
    """What the subscriber of tests/subscribers/echo.py needs besides."""
    await topic_admin.apply(settings, [ECHO.dead_letters])
    with psycopg.connect(settings.postgres_url, autocommit=True) as connection:
        connection.execute(TABLES)
    return topics
