"""orderlog's own services as child processes: what there is, with which command line, on which port."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from eventlog.settings import Settings
from local_stack.ports import is_free, remembered_ports
from local_stack.process import Child
from local_stack.run_state import Part
from schemas.errors import BadInput


class PortTaken(BadInput):
    """A port that was asked for is in use; the message names the setting."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service: its name, the arguments of `orderlog` that run it, and the settings that say where it listens."""

    name: str
    arguments: tuple[str, ...]
    host_setting: str
    port_setting: str

    def part(self, settings: Settings) -> Part:
        """Where it is reached under `settings`."""
        url = f"http://{getattr(settings, self.host_setting)}:{getattr(settings, self.port_setting)}"
        return Part(self.name, url, f"{url}/readyz")

    def child(self, settings: Settings, logs: Path) -> Child:
        """The service as a process, its output in `logs`."""
        return Child(
            self.name, orderlog(*self.arguments), logs / f"{self.name}.log", environment=environment_of(settings)
        )


SERVICES = (
    Service("command-api", ("serve", "command-api"), "command_api_host", "command_api_port"),
    Service("projection-orders", ("project", "orders"), "worker_host", "worker_port"),
    Service("projection-sales", ("project", "sales"), "worker_host", "sales_worker_port"),
    Service("projection-public", ("project", "public"), "worker_host", "public_worker_port"),
    Service("query-api", ("serve", "query-api"), "query_api_host", "query_api_port"),
)


def orderlog(*arguments: str) -> list[str]:
    """The command line of `orderlog` with these arguments, under this Python."""
    return [sys.executable, "-m", "cli.main", *arguments]


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment in which a child process reads exactly `settings`."""
    fields = settings.model_dump(mode="json", exclude_none=True)
    return {**os.environ, **{f"ORDERLOG_{name.upper()}": str(value) for name, value in fields.items()}}


def with_ports(settings: Settings, file: Path) -> Settings:
    """`settings` with a port for each service: as set, else as last time (`file`), else the default, else a free one.

    Raises PortTaken when one that was set is in use. 0 stands for any free port.
    """
    preferred = {service.name: port for service, port in _wanted(settings)}
    ports = remembered_ports(file, tuple(preferred), preferred)
    for service, port in _wanted(settings):
        if port and service.port_setting in settings.model_fields_set:
            if not is_free(port):
                variable = f"ORDERLOG_{service.port_setting.upper()}"
                raise PortTaken(f"port {port} for {service.name} is in use; set {variable} to another, or to 0")
            ports[service.name] = port
    return settings.model_copy(update={service.port_setting: ports[service.name] for service in SERVICES})


def _wanted(settings: Settings) -> Iterator[tuple[Service, int]]:
    for service in SERVICES:
        yield service, getattr(settings, service.port_setting)
