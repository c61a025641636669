"""Bulk requests, by a client that reads results while it sends lines, as fast or as slowly as it likes."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any
from urllib.parse import urlsplit

from tests.kit.requests import order

HEADERS = {"Content-Type": "application/x-ndjson"}


def place(key: str, **changes: Any) -> dict[str, Any]:
    """A line that places an order."""
    return {"command": "place_order", "idempotency_key": key, "body": order(**changes)}


def body(lines: Iterable[Any]) -> bytes:
    """Lines as the body of a request; bytes stay as they are."""
    return b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)


def results(content: bytes) -> list[dict[str, Any]]:
    """The results of an answer."""
    return [json.loads(line) for line in content.splitlines()]


async def stream(url: str, lines: Iterable[Any]) -> AsyncIterator[dict[str, Any]]:
    """Send `lines` in chunks of their own and yield each result; what is not asked for yet is not read either."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    head = f"POST /commands HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Type: application/x-ndjson\r\n"
    writer.write(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())

    async def send_all() -> None:
        for line in lines:
            content = body([line])
            writer.write(b"%x\r\n%s\r\n" % (len(content), content))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    sending = asyncio.create_task(send_all())
    try:
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        rest = b""
        while size := int(await reader.readline(), 16):
            *whole, rest = (rest + (await reader.readexactly(size + 2))[:-2]).split(b"\n")
            for line in whole:
                yield json.loads(line)
    finally:
        sending.cancel()
        writer.close()
