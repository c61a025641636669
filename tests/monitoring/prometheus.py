"""A real Prometheus that scrapes a running stack with the configuration that is delivered."""

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from eventlog.settings import Settings
from local_stack.ports import free_port
from local_stack.probes import http_ready, wait_until
from local_stack.process import Child
from local_stack.services import SERVICES
from tests.monitoring.page import ROOT

_DELIVERED = ROOT / "monitoring/prometheus"
_START_S = 60.0


class Prometheus:
    """Asks a Prometheus that runs."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30)

    def query(self, expression: str) -> list[Any]:
        """The samples that an instant query has now. Raises AssertionError when it is no query."""
        answer = self._http.get("/api/v1/query", params={"query": expression})
        assert answer.status_code == 200, (expression, answer.text)
        found: list[Any] = answer.json()["data"]["result"]
        return found

    def rules(self) -> list[Any]:
        """Its rules, with their health."""
        groups = self._http.get("/api/v1/rules").json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def targets(self) -> dict[str, str]:
        """{job: the health of its target}."""
        targets = self._http.get("/api/v1/targets").json()["data"]["activeTargets"]
        return {target["labels"]["job"]: target["health"] for target in targets}


@contextmanager
def scraping(urls: Mapping[str, str], folder: Path) -> Iterator[Prometheus]:
    """A Prometheus in `folder` that scrapes the services at `urls`, {name: URL}, each second."""
    program = shutil.which("prometheus")
    assert program
    defaults, config = Settings.model_construct(), (_DELIVERED / "prometheus.yml").read_text()  # without environment
    for service in SERVICES:
        default = f'"{service.part(defaults).url.removeprefix("http://")}"'
        assert config.count(f"- job_name: {service.name}\n    static_configs: [{{targets: [{default}]}}]") == 1
        config = config.replace(default, f'"{urls[service.name].removeprefix("http://")}"')
    folder.mkdir()
    (folder / "prometheus.yml").write_text(re.sub(r"_interval: \w+", "_interval: 1s", config))
    shutil.copy(_DELIVERED / "alerts.yml", folder)
    url = f"http://127.0.0.1:{(port := free_port())}"
    options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    options.append(f"--web.listen-address=127.0.0.1:{port}")
    child = Child("prometheus", [program, *options], folder / "prometheus.log")
    child.start()
    try:
        wait_until(lambda: http_ready(f"{url}/-/ready"), child, _START_S)
        yield Prometheus(url)
    finally:
        child.stop()
