"""The README's walk with curl, line by line as it stands there."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.kit.checkouts import Checkout

README = (Path(__file__).parents[2] / "README.md").read_text()


def walk() -> list[str]:
    """The commands of the README that begin with curl, in order, their continuation lines joined."""
    section = README[README.index("## A walk with curl") : README.index("## From Python")]
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

    def here_and_now(text: str) -> str:
        for usual, service in (("8000", "command-api"), ("8001", "query-api"), ("8005", "subscriber-inventory")):
            text = text.replace(f"http://127.0.0.1:{usual}", urls[service])
        return text

    def answered(command: str) -> str:
        return subprocess.check_output(["sh", "-c", here_and_now(command)], text=True, timeout=30)

    stock, place, read, changes, ship, pay, *rest = walk()
    listing, events, before, customer, level, positions, revenue, topics = rest
    assert json.loads(answered(stock))["available"] == 100
    for _ in range(2):
        placed = answered(place)
        assert "201 Created" in placed
        assert placed.splitlines()[-1] in README
    order: dict[str, Any] = json.loads(answered(read))
    assert order["total"] == 998
    assert streamed(here_and_now(changes), 2) == ["OrderPlaced", "OrderConfirmed"]
    refused = json.loads(answered(ship))
    assert all(json.dumps(refused[name]) in README for name in ("type", "title", "detail", "order_status"))
    assert json.loads(answered(pay))["version"] == 3
    assert streamed(here_and_now(changes), 3)[-1] == "PaymentRecorded"
    listed = json.loads(answered(listing))
    assert (len(listed["orders"]), listed["total"]) == (1, {"count": 1, "exact": True})
    assert [event["version"] for event in json.loads(answered(events))["events"]] == [1, 2, 3]
    assert (json.loads(answered(before))["status"], json.loads(answered(before))["total"]) == ("open", 998)
    assert json.loads(answered(customer))["totals"][0]["revenue"] == 998
    assert (json.loads(answered(level))["available"], json.loads(answered(level))["reserved"]) == (98, 2)
    with urlopen(f"{urls['mailbox']}/messages") as mails:
        assert "ada@example.com" in mails.read().decode()
    view, *_ = json.loads(answered(positions))["projections"]
    assert (view["name"], len(view["partitions"])) == ("orders", 12)
    assert set(json.loads(answered(revenue))) == {"by", "revenue"}
    assert "order-placed" in json.loads(answered(topics))["channels"]
    (program,) = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    printed = subprocess.check_output([sys.executable, "-c", here_and_now(program)], text=True, timeout=60)
    assert printed == "cancelled\n"


def streamed(command: str, count: int) -> list[str]:
    """The types of the first `count` events of a stream that does not end by itself."""
    found: list[str] = []
    with subprocess.Popen(["sh", "-c", f"exec {command}"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("event: "):
                found.append(line.removeprefix("event: ").strip())
            if len(found) == count:
                break
        process.terminate()
    return found
