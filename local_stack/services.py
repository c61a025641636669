"""orderlog's own services as child processes: what there is, with which command line, on which port."""

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
    """One service: its name, the arguments of `orderlog` that run it, and the settings that say where it listens.

    `more_ports` are the other ports it listens on: {what they are called: their setting}.
    """

    name: str
    arguments: tuple[str, ...]
    host_setting: str
    port_setting: str
    more_ports: Mapping[str, str] = field(default_factory=dict)

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
    Service("subscriber-inventory", ("subscribe", "inventory"), "subscriber_host", "inventory_port"),
    Service("subscriber-order-process", ("subscribe", "order_process"), "subscriber_host", "order_process_port"),
    Service("mailbox", ("serve", "mailbox"), "mailbox_host", "mailbox_port", {"mailbox-smtp": "mailbox_smtp_port"}),
    Service("subscriber-email", ("subscribe", "email"), "subscriber_host", "email_port"),
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
    settings_of = dict(_listening())
    preferred = {name: getattr(settings, setting) for name, setting in settings_of.items()}
    ports = remembered_ports(file, tuple(preferred), preferred)
    for name, port in preferred.items():
        if port and settings_of[name] in settings.model_fields_set:
            if not is_free(port):
                variable = f"ORDERLOG_{settings_of[name].upper()}"
                raise PortTaken(f"port {port} for {name} is in use; set {variable} to another, or to 0")
            ports[name] = port
    return settings.model_copy(update={setting: ports[name] for name, setting in settings_of.items()})


def with_mailbox(settings: Settings) -> Settings:
    """`settings` with the mailbox as the mail server, unless another one is set."""
    if settings.model_fields_set & {"smtp_host", "smtp_port"}:
        return settings
    return settings.model_copy(update={"smtp_host": settings.mailbox_host, "smtp_port": settings.mailbox_smtp_port})


def _listening() -> Iterator[tuple[str, str]]:
    """Who listens, and the setting of its port."""
    for service in SERVICES:
        yield service.name, service.port_setting
        yield from service.more_ports.items()
