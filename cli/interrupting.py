"""Work that a signal ends in good order: by cancelling it, so that what it holds is given back."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

# SIGINT too: a shell has its background jobs ignore it.
ENDING = (signal.SIGINT, signal.SIGTERM)


async def interruptible(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns. Raises asyncio.CancelledError, once it has given back what it holds, after a signal."""
    task = asyncio.ensure_future(work)
    for number in ENDING:
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await task
