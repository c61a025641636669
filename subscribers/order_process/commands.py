"""Sends the commands that an order's process owes to the command API."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from eventlog.settings import Settings
from service.problems import MEDIA_TYPE
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
    # aiohttp, not httpx as elsewhere: a command costs a fifth of the processor time.
    timeout, connector = aiohttp.ClientTimeout(total=_TIMEOUT_S), aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(url, timeout=timeout, connector=connector) as session:

        async def perform(task: Task) -> Outcome:
            try:
                async with session.post(task.what["path"], headers=_headers(task), json=_body(task)) as answer:
                    problem = await answer.json() if answer.content_type == MEDIA_TYPE else {}
                    return judged(answer.status, problem)
            except (aiohttp.ClientError, TimeoutError) as error:
                return Unavailable(f"the command API at {url} does not answer: {str(error) or type(error).__name__}")

        yield perform


def judged(status: int, problem: Mapping[str, Any]) -> Outcome:
    """What an answer of the command API means for the task; `problem` is its body, if it is one."""
    if status < 300:
        return Done()
    said = problem.get("detail")
    reason = f"HTTP {status}: {said}" if said else f"HTTP {status}"
    if status in _CONFLICTS:
        # The order went another way meanwhile, or its lines changed: then inventory answers for those.
        return Done(reason)
    if status in _PASSING:
        return Unavailable(f"the command API cannot take commands: {reason}")
    return Later(reason) if status >= 500 else Dead(reason)


def _headers(task: Task) -> dict[str, str]:
    headers = {"Idempotency-Key": task.id}
    if task.what["version"] is not None:
        headers["If-Match"] = f'"{task.what["version"]}"'
    if task.what["traceparent"]:
        headers["traceparent"] = task.what["traceparent"]
    return headers


def _body(task: Task) -> dict[str, str] | None:
    return None if task.what["reason"] is None else {"reason": task.what["reason"]}
