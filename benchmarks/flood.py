"""Clients that send as fast as they are told to, whether the server keeps up or not.

`python -m benchmarks.flood URL REQUESTS CONNECTIONS RATE SECONDS` sends the requests of the file REQUESTS (a JSON list
of strings), again and again, RATE of them a second ("inf": each client its next one as soon as it is answered). It
prints a line when all connections stand, and one of JSON at the end (`Tally`).

A process of its own, of low priority: clients elsewhere would not take the server's cores, so what these can do is
what the server leaves them. Requests are made beforehand; sending one and reading its answer costs some 20 µs.
"""

import asyncio
import json
import os
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import uvloop

from service.serving import spare_the_collector

_NICE = 10
_TICK_S = 0.001
_OPEN_AT_ONCE = 200
_DRAIN_S = 20.0


@dataclass(slots=True)
class Tally:
    """What was sent and what came of it, between a quarter of the time and its end (`seconds`).

    `refused` counts answers of 429 or 503 with Retry-After, `unknown` those of them that do not know the outcome: work
    that was done for nothing. `unanswered` counts requests without any answer 20 s after the last was sent.
    """

    seconds: float = 0.0
    sent: int = 0
    accepted: int = 0
    refused: int = 0
    unknown: int = 0
    unanswered: int = 0


class Flood:
    """All clients: which of them wait for something to send, and how much is due."""

    def __init__(self, requests: list[bytes], rate: float, seconds: float) -> None:
        self._requests = cycle(requests)
        self._rate = rate
        self._seconds = seconds
        self._idle: deque[_Client] = deque()
        self._began = float("inf")
        self._sent = 0
        self._counting = False
        self._over = False
        self.tally = Tally()
        self.failure: str | None = None

    async def run(self, host: str, port: int, connections: int) -> None:
        """Open the connections, send for as long as is asked, wait for what is still to be answered."""
        loop = asyncio.get_running_loop()
        for first in range(0, connections, _OPEN_AT_ONCE):
            batch = range(first, min(first + _OPEN_AT_ONCE, connections))
            made = await asyncio.gather(*(loop.create_connection(lambda: _Client(self), host, port) for _ in batch))
            self._idle.extend(client for _, client in made)
        print("begun", flush=True)  # noqa: T201 - for the process that measures
        self._began = time.perf_counter()
        await self._send_for(self._seconds / 4)
        self._counting, counted_from = True, time.perf_counter()
        await self._send_for(self._seconds)
        self._counting, self._over = False, True
        self.tally.seconds = time.perf_counter() - counted_from
        await self._drain(connections)
        self.tally.unanswered = connections - len(self._idle)

    async def _send_for(self, until_s: float) -> None:
        while time.perf_counter() - self._began < until_s and not self.failure:
            while self._idle and self._is_due():
                self._send(self._idle.popleft())
            await asyncio.sleep(_TICK_S)

    async def _drain(self, connections: int) -> None:
        until = time.perf_counter() + _DRAIN_S
        while len(self._idle) < connections and time.perf_counter() < until and not self.failure:
            await asyncio.sleep(_TICK_S)

    def answered(self, client: "_Client", head: bytes, body: bytes) -> None:
        """Count the answer; its client sends the next request, or waits for one to be due."""
        status = int(head[9:12])
        refused = status in (429, 503) and b"\r\nretry-after:" in head.lower()
        if not (refused or 200 <= status < 300):
            self.failure = head.decode(errors="replace")
        if self._counting:
            self.tally.refused += refused
            self.tally.unknown += refused and b"outcome-unknown" in body
            self.tally.accepted += not refused
        if not self._over and self._is_due():
            self._send(client)
        else:
            self._idle.append(client)

    def lost(self) -> None:
        """A connection was closed: clients of a server under load should not see that; idle ones at the end may."""
        if not self._over:
            self.failure = "the server closed a connection"

    def _is_due(self) -> bool:
        return self._sent < self._rate * (time.perf_counter() - self._began)

    def _send(self, client: "_Client") -> None:
        self._sent += 1
        self.tally.sent += self._counting
        client.transport.write(next(self._requests))


class _Client(asyncio.Protocol):
    """One connection with one request at a time."""

    transport: asyncio.WriteTransport

    def __init__(self, flood: Flood) -> None:
        self._flood = flood
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to write to."""
        self.transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """Pass a whole answer on."""
        self._seen += data
        head, gap, body = self._seen.partition(b"\r\n\r\n")
        if not gap:
            return
        at = head.lower().index(b"\r\ncontent-length:") + 17
        if len(body) >= int(head[at:].split(b"\r", 1)[0]):
            self._seen = b""
            self._flood.answered(self, head, body)

    def connection_lost(self, exc: Exception | None) -> None:
        """Say so, unless it is over."""
        self._flood.lost()


def main(url: str, file: str, connections: int, rate: float, seconds: float) -> None:
    """Send, print the tally; exit code 1 with the reason when an answer was neither a success nor a refusal."""
    os.nice(_NICE)
    requests = [text.encode("latin-1") for text in json.loads(Path(file).read_text())]
    where, flood = urlsplit(url), Flood(requests, rate, seconds)
    spare_the_collector()
    uvloop.run(flood.run(where.hostname or "", where.port or 80, connections))
    if flood.failure:
        sys.exit(flood.failure)
    print(json.dumps(asdict(flood.tally)), flush=True)  # noqa: T201 - for the process that measures


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]))
