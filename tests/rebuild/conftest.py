"""The service that a rebuild must not disturb: a worker of `orders`, and the query API."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventlog.settings import Settings
from tests.kit.worlds import QueryApi, Worker


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> Iterator[Worker]:
    process = Worker(settings, tmp_path / "worker.log")
    yield process
    process.kill()


@pytest.fixture
def query_api(settings: Settings, tmp_path: Path) -> Iterator[QueryApi]:
    process = QueryApi(settings, tmp_path / "query-api.log")
    yield process
    process.kill()
