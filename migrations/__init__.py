"""What must last in Postgres: positions, generations, parked events, the stock. Their workers make the views."""

from contextlib import suppress
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Connection, create_engine, text

_LOCK = 0x6F726465726C6F67  # "orderlog", so that two migrations at once take turns
SCHEMA = "orderlog"


def upgrade(postgres_url: str) -> list[str]:
    """Bring the database at `postgres_url` up to date, create it if it is missing; the revisions applied.

    Raises psycopg.OperationalError when Postgres does not answer. Safe to repeat, also at the same time.
    """
    _create_database(postgres_url)
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(postgres_url))
    try:
        with engine.begin() as connection:
            return _upgrade(connection)
    finally:
        engine.dispose()


def _upgrade(connection: Connection) -> list[str]:
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
    before = MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA}).get_current_revision()
    config = Config()
    # Alembic reads its options through ConfigParser, to which a % is the start of a reference.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    script = ScriptDirectory.from_config(config)
    applied = [revision.revision for revision in script.iterate_revisions("head", before or "base")]
    return applied[::-1]


def _create_database(postgres_url: str) -> None:
    try:
        psycopg.connect(postgres_url).close()
    except psycopg.OperationalError:
        # Its message is in the server's language, so the catalogue says whether the database is missing.
        name = str(conninfo_to_dict(postgres_url).get("dbname"))
        with psycopg.connect(make_conninfo(postgres_url, dbname="postgres"), autocommit=True) as connection:
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone():
                raise
            # Another migration may create it at this moment, which is as good.
            with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
