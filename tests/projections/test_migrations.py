"""The lasting tables: made once, whoever asks first."""

from concurrent.futures import ThreadPoolExecutor

import psycopg

import migrations
from eventlog.settings import Settings


def test_migrations_at_once_are_applied_once(settings: Settings) -> None:
    with ThreadPoolExecutor(3) as pool:
        applied = list(pool.map(migrations.upgrade, [settings.postgres_url] * 3))
    assert sorted(applied) == [[], [], ["0001", "0002", "0003", "0004", "0005", "0006"]]
    assert migrations.upgrade(settings.postgres_url) == []
    with psycopg.connect(settings.postgres_url) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'orderlog'").fetchall()
    assert {"generations", "checkpoints", "logs", "parked_events"} < {name for (name,) in rows}
