"""The README's walk with curl, line by line as it stands there."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.kit.checkouts import Checkout

README = (Path(__file__).parents[2] / "README.md").read_text()


def walk() -> list[str]:
    """The commands of the README that begin with curl, in order, their continuation lines joined."""
    section = README[README.index("## A walk with curl") : README.index("## What it costs you")]
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", section, flags=re.MULTILINE)
    commands: list[str] = []
    for block in blocks:
        for line in re.sub(r"^    ", "", block, flags=re.MULTILINE).splitlines():
            unfinished = commands and commands[-1].count("'") % 2 == 1
            if line.startswith("curl"):
                commands.append(line)
            elif unfinished or (commands and commands[-1].endswith("\\")):
                commands[-1] = f"{commands[-1]}\n{line}"
    return commands


def test_the_walk_with_curl_does_what_it_says(checkout: Callable[[str], Checkout]) -> None:
    here = checkout("walk")
    # As many partitions as a person has: the positions in the README depend on it.
    assert here.run("up", ORDERLOG_PARTITIONS="12").returncode == 0
    urls = here.urls()

    def answered(command: str) -> str:
        for usual, service in (("8000", "command-api"), ("8001", "query-api")):
            command = command.replace(f"http://127.0.0.1:{usual}", urls[service])
        return subprocess.check_output(["sh", "-c", command], text=True, timeout=30)

    place, read, ship, confirm, pay, listing, positions, revenue = walk()
    for _ in range(2):
        placed = answered(place)
        assert "201 Created" in placed
        assert placed.splitlines()[-1] in README
    order: dict[str, Any] = json.loads(answered(read))
    assert (order["status"], order["total"]) == ("open", 998)
    refused = json.loads(answered(ship))
    assert all(json.dumps(refused[name]) in README for name in ("type", "title", "detail", "order_status"))
    assert [json.loads(answered(command))["version"] for command in (confirm, pay)] == [2, 3]
    assert set(json.loads(answered(listing))) == {"orders", "next_cursor"}
    view, _ = json.loads(answered(positions))["projections"]
    assert (view["name"], len(view["partitions"])) == ("orders", 12)
    assert set(json.loads(answered(revenue))) == {"by", "revenue"}
