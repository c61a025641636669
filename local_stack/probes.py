"""Whether a part answers, and waiting until it does."""

import socket
import time
from collections.abc import Callable

import httpx

from local_stack.process import Child, ChildFailed

_EVERY_S = 0.05


def tcp_answers(port: int) -> bool:
    """Whether somebody takes connections on this loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
    except OSError:
        return False
    return True


def http_ready(url: str) -> bool:
    """Whether a GET of `url` answers with a success."""
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.HTTPError:
        return False


def wait_until(condition: Callable[[], bool], child: Child, within_s: float) -> None:
    """Return once `condition` holds. Raises ChildFailed when `child` ends first, or does not come up in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        child.check()
        if time.monotonic() > deadline:
            raise ChildFailed(f"{child.name} did not come up within {within_s:g} s: {child.last_words()}")
        time.sleep(_EVERY_S)
