"""A view of the test's own, and clients of the query API on it."""

from collections.abc import AsyncIterator

import httpx
import pytest

from eventlog.settings import Settings
from query_side.bootstrap import build_app
from tests.query_side.served import View, client_of


@pytest.fixture
async def view(settings: Settings) -> View:
    made = View(settings)
    await made.make()
    return made


@pytest.fixture
async def client(view: View, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    settings.position_wait_s = 20.0
    async with client_of(build_app(settings)) as http:
        yield http


@pytest.fixture
async def impatient(view: View, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    settings.position_wait_s = 0.05
    async with client_of(build_app(settings)) as http:
        yield http
