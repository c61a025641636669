"""Asking other services' pages, and saying in a line why there is no answer."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import httpx
from prometheus_client.parser import text_string_to_metric_families

from query_side.dashboard.places import Place

_PATIENCE_S = 2.0
_ACTION_PATIENCE_S = 120.0  # a rebuild that is given up answers once nothing is left of it


@dataclass(frozen=True, slots=True)
class Reply:
    """What a place said: `body` if it was JSON; `why` is empty when the answer is a success."""

    status: int
    body: Mapping[str, Any]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a page of metrics."""

    name: str
    labels: Mapping[str, str]
    value: float


class Asker:
    """Asks while it is entered; never raises for what a place does or does not say."""

    def __init__(self) -> None:
        self._client = httpx.AsyncClient(timeout=_PATIENCE_S, follow_redirects=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def get(self, place: Place, path: str) -> Reply:
        """The JSON at `path`."""
        return await self.send(place, "GET", path, None, _PATIENCE_S)

    async def send(
        self, place: Place, method: str, path: str, body: Any, patience_s: float = _ACTION_PATIENCE_S
    ) -> Reply:
        """What comes of a request with `body` as its JSON, None for no body."""
        try:
            # Of all of it: httpx's own timeouts are of each read.
            async with asyncio.timeout(patience_s):
                answer = await self._client.request(method, place.url + path, json=body, timeout=patience_s)
                said = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        except (httpx.HTTPError, TimeoutError, ValueError):
            return Reply(0, {}, f"{place.name} does not answer at {place.url}")
        found: Mapping[str, Any] = said if isinstance(said, dict) else {}
        why = (
            "" if answer.is_success else str(found.get("detail") or found.get("reason") or f"HTTP {answer.status_code}")
        )
        return Reply(answer.status_code, found, why)

    async def metrics(self, place: Place) -> Sequence[Sample]:
        """What its /metrics has; nothing when it has none."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                answer = await self._client.get(f"{place.url}/metrics")
            if not answer.is_success:
                return []
            return samples(answer.text)
        except (httpx.HTTPError, TimeoutError, ValueError):
            return []


def samples(page: str) -> list[Sample]:
    """The values on a page in Prometheus' text format. Raises ValueError when it is none."""
    families = text_string_to_metric_families(page)
    return [Sample(one.name, one.labels, one.value) for family in families for one in family.samples]


def by_label(found: Sequence[Sample], name: str, label: str) -> dict[str, float]:
    """{value of `label`: sum} of a metric."""
    sums: dict[str, float] = {}
    for one in found:
        if one.name == name and label in one.labels:
            sums[one.labels[label]] = sums.get(one.labels[label], 0.0) + one.value
    return sums


def total(found: Sequence[Sample], name: str) -> float | None:
    """The sum of a metric over its labels; None when it is not there."""
    values = [one.value for one in found if one.name == name]
    return sum(values) if values else None
