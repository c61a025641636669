"""A load generator that costs less than what it measures: keep-alive HTTP/1.1 over raw asyncio streams.

httpx and aiohttp spend more time on a request than the servers measured here, on the other of two
cores. This sends prepared bytes and reads answers by their Content-Length, and does nothing else.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit


def post(url: str, body: bytes, headers: str = "") -> bytes:
    """A POST request of `body` as the bytes that go over the wire."""
    where = urlsplit(url)
    head = f"POST {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Type: application/json\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def get(url: str) -> bytes:
    """A GET request as the bytes that go over the wire."""
    where = urlsplit(url)
    return f"GET {where.path}?{where.query} HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode()


async def latencies(url: str, requests: Sequence[bytes], expected: int) -> list[float]:
    """Milliseconds from each of `requests` to the end of its answer, one after the other. Raises as `throughput`."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    took: list[float] = []
    for request in requests:
        start = time.perf_counter()
        writer.write(request)
        status = await _answer(reader)
        took.append((time.perf_counter() - start) * 1_000)
        assert status == expected, f"HTTP {status} from {url}"
    writer.close()
    return took


async def throughput(url: str, requests: Iterator[bytes], connections: int, expected: int) -> float:
    """Requests per second when `connections` each send the next of `requests` as soon as they are answered.

    Raises AssertionError at an answer whose status is not `expected`: a fast error is no throughput.
    """
    where = urlsplit(url)
    counted = 0

    async def send_all() -> None:
        nonlocal counted
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        for request in requests:
            writer.write(request)
            status = await _answer(reader)
            assert status == expected, f"HTTP {status} from {url}"
            counted += 1
        writer.close()

    start = time.perf_counter()
    await asyncio.gather(*(send_all() for _ in range(connections)))
    return counted / (time.perf_counter() - start)


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    at = head.lower().index(b"content-length:")
    await reader.readexactly(int(head[at + 15 : head.index(b"\r", at)]))
    return int(head[9:12])
