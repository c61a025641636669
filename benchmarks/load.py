"""A load generator that costs less than what it measures: keep-alive HTTP/1.1 over raw asyncio streams.

httpx and aiohttp spend more time on a request than the servers measured here, on the other of two
cores. This sends prepared bytes and reads answers by their Content-Length, and does nothing else.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from local_stack.shop import order_body

_GOODS = {"TEA-EARL-GREY-100": 2, "CUP-WHITE": 4}


def http_request(method: str, url: str, body: bytes, headers: str = "") -> bytes:
    """A request with a JSON `body` as the bytes that go over the wire."""
    where = urlsplit(url)
    head = f"{method} {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Type: application/json\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def get(url: str, headers: str = "") -> bytes:
    """A GET request as the bytes that go over the wire."""
    where = urlsplit(url)
    return f"GET {where.path}?{where.query} HTTP/1.1\r\nHost: {where.netloc}\r\n{headers}\r\n".encode()


def order_placed(base_url: str, order_id: UUID | None = None) -> bytes:
    """The request that places a new order of two lines, with a key."""
    key = order_id or uuid4()
    body = json.dumps(order_body(Random(key.int), key, _GOODS)).encode()
    return http_request("POST", f"{base_url}/orders", body, f"Idempotency-Key: {key}\r\n")


class Connection:
    """A keep-alive connection, for one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, request: bytes, expected: int) -> bytes:
        """Send the request and take the answer: its head. Raises AssertionError unless its status is `expected`."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        at = head.lower().index(b"content-length:")
        body = await self._reader.readexactly(int(head[at + 15 : head.index(b"\r", at)]))
        assert int(head[9:12]) == expected, (head, body)
        return head


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """A connection to the server of `url`."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()


class Connections:
    """Connections to one server: one that is idle, or a new one."""

    def __init__(self, url: str, opened: AsyncExitStack) -> None:
        self._url = url
        self._opened = opened
        self._idle: list[Connection] = []

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Connection]:
        """A connection for one request."""
        connection = self._idle.pop() if self._idle else await self._opened.enter_async_context(connected(self._url))
        yield connection
        self._idle.append(connection)


async def latencies(url: str, requests: Sequence[bytes], expected: int) -> list[float]:
    """Milliseconds from each of `requests` to the end of its answer, one after the other. Raises as `throughput`."""
    took: list[float] = []
    async with connected(url) as connection:
        for request in requests:
            start = time.perf_counter()
            await connection.ask(request, expected)
            took.append((time.perf_counter() - start) * 1_000)
    return took


async def throughput(url: str, requests: Iterator[bytes], connections: int, expected: int) -> float:
    """Requests per second when `connections` each send the next of `requests` as soon as they are answered.

    Raises AssertionError at an answer whose status is not `expected`: a fast error is no throughput.
    """
    counted = 0

    async def send_all() -> None:
        nonlocal counted
        async with connected(url) as connection:
            for request in requests:
                await connection.ask(request, expected)
                counted += 1

    start = time.perf_counter()
    await asyncio.gather(*(send_all() for _ in range(connections)))
    return counted / (time.perf_counter() - start)
