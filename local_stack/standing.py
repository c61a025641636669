"""Whether each part of the system is ready, asked from outside."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg

from eventlog.settings import Settings
from local_stack.services import SERVICES
from projections.catalogue import VIEWS
from projections.generations import live_versions, needs_rebuild
from service.database import connect

_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class PartStanding:
    """One part: `state` is ready, not ready (it says so itself), unreachable or needs rebuild; `detail` says why."""

    name: str
    url: str
    state: str
    detail: str = ""

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


def of(settings: Settings) -> list[PartStanding]:
    """The standing of every part that `settings` name."""
    return asyncio.run(_of(settings))


async def _of(settings: Settings) -> list[PartStanding]:
    registry = f"{settings.registry_url}/apis/ccompat/v7/subjects"
    parts: list[tuple[str, str, Callable[[], Awaitable[str]]]] = [
        ("postgres", _without_password(settings.postgres_url), lambda: _postgres(settings.postgres_url)),
        ("kafka", settings.kafka_bootstrap, lambda: _kafka(settings.kafka_bootstrap)),
        ("registry", settings.registry_url, lambda: _http(registry)),
    ]
    for service in SERVICES:
        part = service.part(settings)
        parts.append((part.name, part.url, lambda url=part.ready_url: _http(url)))  # type: ignore[misc]
    standings = await asyncio.gather(*(_standing(*part) for part in parts))
    behind = await _made_by_other_code(settings.postgres_url)
    return [
        replace(one, state="needs rebuild", detail=behind[one.name]) if one.name in behind else one for one in standings
    ]


async def _made_by_other_code(postgres_url: str) -> dict[str, str]:
    """{service: why} of the projections whose live generation was made by another version of their code than ours."""
    try:
        async with await connect(postgres_url) as connection:
            versions = await live_versions(connection)
    except psycopg.Error:  # that Postgres is away is told by its own line
        return {}
    different = {name: view for name, view in VIEWS.items() if versions.get(name, view.version) != view.version}
    return {f"projection-{name}": needs_rebuild(view, versions[name]) for name, view in different.items()}


async def _standing(name: str, url: str, probe: Callable[[], Awaitable[str]]) -> PartStanding:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            reason = await probe()
    except TimeoutError:
        return PartStanding(name, url, "unreachable", f"no answer within {_PATIENCE_S:g} s")
    except (OSError, httpx.HTTPError, psycopg.Error) as error:
        return PartStanding(name, url, "unreachable", _brief(error))
    return PartStanding(name, url, "not ready" if reason else "ready", reason)


async def _http(url: str) -> str:
    async with httpx.AsyncClient(timeout=_PATIENCE_S) as client:
        answer = await client.get(url)
    if answer.is_success:
        return ""
    body: dict[str, Any] = answer.json() if "json" in answer.headers.get("content-type", "") else {}
    waiting = [f"partition {one['partition']}: {one['reason']}" for one in body.get("waiting", [])]
    return str(body.get("reason") or "; ".join(waiting[:2]) or f"HTTP {answer.status_code}")


async def _kafka(bootstrap: str) -> str:
    host, _, port = bootstrap.partition(",")[0].rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.close()
    return ""


async def _postgres(url: str) -> str:
    async with await psycopg.AsyncConnection.connect(url, connect_timeout=int(_PATIENCE_S)) as connection:
        await connection.execute("SELECT 1")
    return ""


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", "@")).geturl() if parts.password else url


def _brief(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error).strip().partition("\n")[0].rpartition(": ")[2] or type(error).__name__
