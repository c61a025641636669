"""The flooding clients count what they were told, and take nothing for an answer that is none."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle

import pytest

from benchmarks.flood import Flood
from benchmarks.load import http_request

REQUEST = http_request("POST", "http://127.0.0.1/orders", b'{"a": 1}')
ACCEPTED = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}"
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\ncontent-length: 4\r\n\r\nlate"
UNKNOWN = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 15\r\n\r\noutcome-unknown"


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[int]:
    """The port of a server that gives these answers in turn, each in two pieces."""
    turns = cycle(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(len(REQUEST)):
            answer = next(turns)
            writer.write(answer[:30])
            await asyncio.sleep(0)
            writer.write(answer[30:])
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_every_answer_is_counted_as_what_it_is() -> None:
    async with answering(ACCEPTED, REFUSED, UNKNOWN) as port:
        flood = Flood([REQUEST], float("inf"), 0.3)
        await flood.run("127.0.0.1", port, connections=3)
    assert flood.failure is None
    assert flood.tally.unanswered == 0
    assert flood.tally.seconds > 0
    assert 0 < flood.tally.unknown < flood.tally.refused
    assert 0 < flood.tally.accepted < flood.tally.refused
    assert abs(flood.tally.sent - flood.tally.accepted - flood.tally.refused) <= 3, "one of each client at most"


async def test_no_more_is_sent_than_is_due() -> None:
    async with answering(ACCEPTED) as port:
        flood, start = Flood([REQUEST], 50.0, 0.4), time.perf_counter()
        await flood.run("127.0.0.1", port, connections=10)
    assert 0 < flood.tally.sent <= 50 * (time.perf_counter() - start) + 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 422 Unprocessable\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n",
    ],
)
async def test_a_wrong_answer_ends_it(answer: bytes) -> None:
    async with answering(answer) as port:
        flood = Flood([REQUEST], float("inf"), 30.0)
        await asyncio.wait_for(flood.run("127.0.0.1", port, connections=2), 10)
    assert flood.failure
    assert flood.failure in answer.decode()
