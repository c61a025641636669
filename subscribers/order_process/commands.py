"""Sends the commands that an order's process owes to the command API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from eventlog.settings import Settings
from subscribers.outbox import Dead, Done, Later, Outcome, Perform, Task, Unavailable

AT_ONCE = 32
ATTEMPTS = 8
_TIMEOUT_S = 25.0  # longer than the command API lets a client wait
_CONFLICTS = (409, 412)
_PASSING = (408, 425, 429, 502, 503, 504)


@asynccontextmanager
async def sending(settings: Settings) -> AsyncIterator[Perform]:
    """Sends tasks of subscribers/order_process/process.py to the command API."""
    url = settings.command_url or f"http://{settings.command_api_host}:{settings.command_api_port}"
    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    async with httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_S, limits=limits) as client:

        async def perform(task: Task) -> Outcome:
            try:
                answer = await client.post(task.what["path"], headers=_headers(task), json=_body(task))
            except httpx.TransportError as error:
                return Unavailable(f"the command API at {url} does not answer: {str(error) or type(error).__name__}")
            return judged(answer)

        yield perform


def judged(answer: httpx.Response) -> Outcome:
    """What an answer of the command API means for the task."""
    if answer.is_success:
        return Done()
    is_problem = answer.headers.get("content-type", "").startswith("application/problem+json")
    said = answer.json().get("detail") if is_problem else ""
    reason = f"HTTP {answer.status_code}: {said}" if said else f"HTTP {answer.status_code}"
    if answer.status_code in _CONFLICTS:
        # The order went another way meanwhile, or its lines changed: then inventory answers for those.
        return Done(reason)
    if answer.status_code in _PASSING:
        return Unavailable(f"the command API cannot take commands: {reason}")
    return Later(reason) if answer.is_server_error else Dead(reason)


def _headers(task: Task) -> dict[str, str]:
    headers = {"Idempotency-Key": task.id}
    if task.what["version"] is not None:
        headers["If-Match"] = f'"{task.what["version"]}"'
    if task.what["traceparent"]:
        headers["traceparent"] = task.what["traceparent"]
    return headers


def _body(task: Task) -> dict[str, str] | None:
    return None if task.what["reason"] is None else {"reason": task.what["reason"]}
