"""The real parts every test runs on: one Kafka, registry and Postgres for all, a world of its own for each."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import structlog

from eventlog.settings import Settings
from local_stack.infrastructure import Endpoints, Infrastructure
from local_stack.progress import Silent
from service import logs

# As the services have it; structlog's own default takes seconds for a traceback.
structlog.configure(processors=[structlog.processors.add_log_level, logs.console()])


@pytest.fixture(scope="session")
def infrastructure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Infrastructure]:
    """Shared by all tests of this process; one that stops a part has its own, see `own_kafka` in `tests.kit.worlds`."""
    stack = Infrastructure(tmp_path_factory.mktemp("stack"), None, Silent())
    stack.start()
    yield stack
    stack.stop()


def settings_for(endpoints: Endpoints, data_dir: Path, name: str) -> Settings:
    """Settings of a world called `name`: its own topics, writer ids, groups and database."""
    server, _, _ = endpoints.postgres_url.rpartition("/")
    return Settings(
        _env_file=None,
        kafka_bootstrap=endpoints.kafka_bootstrap,
        registry_url=endpoints.registry_url,
        postgres_url=f"{server}/{name}",
        topic_prefix=f"{name}.",
        partitions=3,
        command_api_port=0,
        query_api_port=0,
        worker_port=0,
        sales_worker_port=0,
        public_worker_port=0,
        data_dir=data_dir,
    )


@pytest.fixture
def settings(infrastructure: Infrastructure, tmp_path: Path) -> Iterator[Settings]:
    """Settings of a world of the test's own on the shared stack; its database is dropped afterwards."""
    name = f"t{uuid4().hex[:8]}"
    yield settings_for(infrastructure.endpoints, tmp_path / "data", name)
    server, _, _ = infrastructure.endpoints.postgres_url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
