"""Whether the other instances still run, told within milliseconds by a connection to each.

A process that ends, however it ends, has its connections closed by its kernel, and then refuses new ones. A refusal is
a certain sign; silence is not (a stopped process, a lost network), and is left to the consumer group's session.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

import structlog

log = structlog.get_logger()

_PATIENCE_S = 2.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.002, 1.0


class Neighbours:
    """Instances by their URL, watched while this is entered. `gone` is called with one that refuses connections."""

    def __init__(self, gone: Callable[[str], None]) -> None:
        self._gone = gone
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._alive: set[str] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._watches.values():
            task.cancel()
        await asyncio.gather(*self._watches.values(), return_exceptions=True)

    @property
    def alive(self) -> frozenset[str]:
        """Those that are connected now."""
        return frozenset(self._alive)

    def is_alive(self, url: str) -> bool:
        """Whether `url` is connected now."""
        return url in self._alive

    def watch(self, url: str) -> None:
        """Watch `url` from now on, until it is gone."""
        if url not in self._watches:
            self._watches[url] = asyncio.create_task(self._watch(url))

    async def _watch(self, url: str) -> None:
        pause_s = _FIRST_PAUSE_S
        while await self._connected(url):
            # A process that is ending may take one more connection, and end that at once.
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        self._alive.discard(url)
        del self._watches[url]
        log.warning("neighbour_gone", url=url)
        self._gone(url)

    async def _connected(self, url: str) -> bool:
        """Stay connected for as long as it lasts; False when the connection is refused."""
        where = urlsplit(url)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                reader, writer = await asyncio.open_connection(where.hostname, where.port)
        except ConnectionRefusedError:
            return False
        except (OSError, TimeoutError) as error:
            self._alive.discard(url)
            log.warning("neighbour_not_reached", url=url, reason=repr(error))
            return True
        self._alive.add(url)
        with suppress(OSError):
            await reader.read(1)  # it sends nothing: this returns when the connection ends
        writer.close()
        return True
