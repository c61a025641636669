"""Free TCP ports, the same ones again where possible."""

import json
import random
from collections.abc import Mapping
from itertools import count
from pathlib import Path

from service.sockets import listen


def is_free(port: int) -> bool:
    """Whether somebody could listen on this port of the loopback address now."""
    try:
        listen("127.0.0.1", port).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port nobody listens on, and that no outgoing connection gets by chance before somebody does."""
    # The system gives outgoing connections the ports from 32768 on (Linux) or 49152 (macOS).
    return next(port for port in (random.randrange(20_000, 32_000) for _ in count()) if is_free(port))


def remembered_ports(file: Path, names: tuple[str, ...], preferred: Mapping[str, int] | None = None) -> dict[str, int]:
    """A port for each name: the one in `file`, else the preferred one, whichever is free, else any; noted in `file`."""
    known: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    ports = {name: _first_free(known.get(name), (preferred or {}).get(name)) for name in names}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**known, **ports}))
    return ports


def _first_free(*candidates: int | None) -> int:
    return next((port for port in candidates if port and is_free(port)), None) or free_port()
