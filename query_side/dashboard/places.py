"""Where the services are whose pages the dashboard shows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from eventlog.settings import Settings

Kind = Literal["projection", "subscriber", "command"]
COMMAND_API = "command-api"
PUBLISHING = "public"
"""The projection that is never rebuilt: what it has told is out."""
_PROJECTIONS = ("orders", "sales", PUBLISHING)
_SUBSCRIBERS = ("inventory", "order_process", "email")
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


@dataclass(frozen=True, slots=True)
class Place:
    """One process of a service."""

    kind: Kind
    name: str
    url: str


def places(settings: Settings) -> list[Place]:
    """Every process that `settings` name; those of `dashboard_urls` stand instead of the default of their name."""
    named: dict[str, list[str]] = {}
    for name, url in settings.dashboard_places():
        named.setdefault(name, []).append(url)
    return [
        Place(kind, name, url.rstrip("/"))
        for kind, name, default in _defaults(settings)
        for url in named.get(name, [default] if default else [])
    ]


def _defaults(settings: Settings) -> Iterator[tuple[Kind, str, str]]:
    for name in _PROJECTIONS:
        yield "projection", name, _url(settings.worker_host, settings.worker_port_of(name))
    for name in _SUBSCRIBERS:
        yield "subscriber", name, _url(settings.subscriber_host, settings.subscriber_port_of(name))
    url = settings.command_url or _url(settings.command_api_host, settings.command_api_port)
    yield "command", COMMAND_API, url


def _url(host: str, port: int) -> str:
    """The address, "" when the port is chosen by the process itself and so is not known here."""
    return f"http://{_EVERYWHERE.get(host, host)}:{port}" if port else ""
