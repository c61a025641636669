"""Free TCP ports, the same ones again where possible."""

import json
import socket
from pathlib import Path

from service.serving import listen


def is_free(port: int) -> bool:
    """Whether somebody could listen on this port of the loopback address now."""
    try:
        listen("127.0.0.1", port).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port nobody listens on."""
    listener: socket.socket = listen("127.0.0.1", 0)
    with listener:
        return int(listener.getsockname()[1])


def remembered_ports(file: Path, names: tuple[str, ...]) -> dict[str, int]:
    """A port for each name: the one in `file` where that is still free, else a new one, noted in `file`."""
    known: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    ports = {name: known[name] if name in known and is_free(known[name]) else free_port() for name in names}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**known, **ports}))
    return ports
