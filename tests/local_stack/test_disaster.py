"""Everything but Kafka is gone: the read side is made again from the log alone."""

import json
import shutil
from collections.abc import Callable

import httpx

from tests.kit.checkouts import Checkout
from tests.kit.requests import order
from tests.kit.worlds import eventually

ORDERS = 60


async def test_the_read_side_comes_back_from_kafka_alone(checkout: Callable[[str], Checkout]) -> None:
    here = checkout("here")
    lines = [json.dumps({**order(), "customer_id": f"customer-{number % 7}"}) for number in range(ORDERS)]
    (here.folder / "orders.ndjson").write_text("\n".join(lines) + "\n")
    assert here.run("up").returncode == 0
    assert here.run("import", "orders.ndjson").returncode == 0
    await eventually(lambda: _placed(here) == ORDERS)
    assert here.run("rebuild", "--all", "--jobs", "1").returncode == 0
    assert here.run("down").returncode == 0

    data = here.folder / ".orderlog"
    for folder in (data / "postgres", data / "projections"):
        assert folder.exists()
        shutil.rmtree(folder)
    assert here.run("up").returncode == 0
    # Generations are numbered anew, and Kafka still has changelogs of the old ones under these numbers.
    rebuilt = here.run("rebuild", "--all", "--jobs", "1", "--json")
    assert rebuilt.returncode == 0, rebuilt.stderr
    await eventually(lambda: _placed(here) == ORDERS)
    verified = here.run("verify", "--json")
    assert verified.returncode == 0, verified.stdout
    assert here.run("down").returncode == 0


def _placed(here: Checkout) -> int:
    """How many orders both kinds of views know: the lesser number. None while workers change over."""
    if here.run("status").returncode:
        return -1
    query_url = here.urls()["query-api"]
    listed = int(httpx.get(f"{query_url}/orders", params={"limit": 1}).json()["total"]["count"])
    statuses = httpx.get(f"{query_url}/stats/orders-by-status", timeout=30).json()["statuses"]
    return min(listed, sum(int(one["orders"]) for one in statuses))
