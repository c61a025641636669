"""Free TCP ports, the same ones again where possible."""

import fcntl
import json
import os
import random
import tempfile
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

from service.sockets import listen

# The system gives outgoing connections the ports from 32768 on (Linux) or 49152 (macOS).
_FIRST, _END = 20_000, 32_000


def is_free(port: int) -> bool:
    """Whether somebody could listen on this port of the loopback address now."""
    try:
        listen("127.0.0.1", port).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port nobody listens on, and that no outgoing connection gets by chance before somebody does.

    Whoever asks next, in this process or another one of the same user, gets a later one: so two that ask before either
    listens do not get the same, and a server that is away for a while finds its port free.
    """
    handle = os.open(_last_given(), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        last = int(os.read(handle, 5) or random.randrange(_FIRST, _END))
        port = next(port for port in chain(range(last + 1, _END), range(_FIRST, _END)) if is_free(port))
        os.pwrite(handle, str(port).encode(), 0)
        return port
    finally:
        os.close(handle)


def _last_given() -> Path:
    return Path(tempfile.gettempdir()) / f"orderlog-last-port-{os.getuid()}"


def remembered_ports(file: Path, names: tuple[str, ...], preferred: Mapping[str, int] | None = None) -> dict[str, int]:
    """A port for each name: the one in `file`, else the preferred one, whichever is free, else any; noted in `file`."""
    known: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    ports = {name: _first_free(known.get(name), (preferred or {}).get(name)) for name in names}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**known, **ports}))
    return ports


def _first_free(*candidates: int | None) -> int:
    return next((port for port in candidates if port and is_free(port)), None) or free_port()
