"""The local mailbox as a real process."""

from pathlib import Path
from typing import Any

import httpx

from eventlog.settings import Settings
from local_stack.ports import free_port
from local_stack.probes import http_ready, wait_until
from local_stack.process import Child
from local_stack.services import environment_of, orderlog, with_mailbox

_READY_S = 60.0


class MailboxProcess(Child):
    """The mailbox on ports that it keeps; `settings` send to it."""

    def __init__(self, settings: Settings, log_file: Path) -> None:
        ports = {"mailbox_port": free_port(), "mailbox_smtp_port": free_port()}
        self.settings = with_mailbox(settings.model_copy(update=ports))
        self.url = f"http://127.0.0.1:{ports['mailbox_port']}"
        super().__init__("mailbox", orderlog("serve", "mailbox"), log_file, environment=environment_of(self.settings))

    def start(self) -> None:
        """Start it and return once it takes mails."""
        super().start()
        wait_until(lambda: http_ready(f"{self.url}/readyz"), self, _READY_S)

    def mails(self) -> list[dict[str, Any]]:
        """The mails in it, newest first."""
        found: list[dict[str, Any]] = httpx.get(f"{self.url}/messages").raise_for_status().json()
        return found
