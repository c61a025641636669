"""Listening sockets, bound before anything else is started: a taken port is known at once."""

import socket


def listen(host: str, port: int) -> socket.socket:
    """A bound TCP socket; port 0 picks a free one. Raises OSError that names address and port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}; choose another port") from error
    return listener
