"""A folder that a person works in, and the `orderlog` command run there."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import psutil

from eventlog.settings import Settings
from local_stack.services import orderlog

START_S = 180


class Checkout:
    """A folder that a person works in: its own data, its own ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("ORDERLOG_")}
        # Not the well-known ports: something else may have them on the machine that tests this.
        ports = {f"ORDERLOG_{name.upper()}": "0" for name in Settings.model_fields if name.endswith("_port")}
        del ports["ORDERLOG_SMTP_PORT"]  # of a server that is not ours
        self._environment |= {**ports, "ORDERLOG_PARTITIONS": "3"}

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = orderlog(*arguments)
        environment = {**self._environment, **variables}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=START_S, check=False
        )

    def spawn(self, *arguments: str) -> subprocess.Popen[str]:
        command = orderlog(*arguments)
        output = (self.folder / "output.txt").open("w")
        return subprocess.Popen(
            command, cwd=self.folder, env=self._environment, stdout=output, stderr=output, text=True
        )

    def output(self) -> str:
        return (self.folder / "output.txt").read_text()

    def urls(self) -> dict[str, str]:
        """Every part's address; all must be ready."""
        done = self.run("status", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        services: list[dict[str, Any]] = json.loads(done.stdout)["services"]
        assert {service["state"] for service in services} == {"ready"}
        return {service["name"]: service["url"] for service in services}

    def processes(self) -> list[psutil.Process]:
        """What runs for this folder, the commands that this test started among them."""
        return [process for process in psutil.process_iter() if _mentions(process, str(self.folder))]


def _mentions(process: psutil.Process, folder: str) -> bool:
    try:
        told = (*process.cmdline(), process.environ().get("ORDERLOG_DATA_DIR", ""))
        return process.status() != psutil.STATUS_ZOMBIE and any(folder in word for word in told)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
