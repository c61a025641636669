"""What a system needs before its services start: topics, schemas, tables."""

import asyncio
from collections.abc import Sequence

from eventlog import topic_admin
from eventlog.settings import Settings
from schemas.publish import register
from schemas.topics import CATALOGUE, Topic


async def prepare(settings: Settings, topics: Sequence[Topic] = CATALOGUE) -> None:
    """Create `topics`, register the schemas, migrate the database. Safe to repeat; raises what each of them does."""
    import migrations  # Alembic is slow to import, and every verb of the command line imports this module

    await topic_admin.apply(settings, topics)
    await asyncio.to_thread(register, settings.registry_url, settings.topic_prefix)
    await asyncio.to_thread(migrations.upgrade, settings.postgres_url)
