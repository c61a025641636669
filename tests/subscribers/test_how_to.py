"""docs/how-to/add-a-subscriber.md, done as it says: its files, its lines, its process, its query, on a real broker."""

import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from eventlog.settings import Settings
from local_stack.services import environment_of, orderlog
from schemas.public_events import OrderCancelled
from tests.kit.how_to import blocks, carry_out
from tests.kit.subscribers import PublicTopics, Subscriber, placed, told_of
from tests.kit.worlds import eventually
from tests.subscribers import partner

PAGE = (Path(__file__).parents[2] / "docs/how-to/add-a-subscriber.md").read_text()


class Checkout:
    """A folder in which orderlog has been changed as the page says."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.folder = folder
        self._settings = settings
        files = carry_out(PAGE, folder, ["schemas", "subscribers", "migrations"])
        assert [Path(name).name for name in files] == ["__init__.py", "subscription.py", "0007_audit.py"]

    def orderlog(self, *arguments: str) -> str:
        """What the command prints here."""
        command, environment = orderlog(*arguments), environment_of(self._settings)
        return subprocess.check_output(command, cwd=self.folder, env=environment, text=True, timeout=60)


@pytest.fixture
def checkout(topics: PublicTopics, settings: Settings, tmp_path: Path) -> Checkout:
    (tmp_path / "checkout").mkdir()
    return Checkout(settings, tmp_path / "checkout")


@pytest.fixture
def audit(settings: Settings, checkout: Checkout, tmp_path: Path) -> Iterator[Subscriber]:
    small_batches = settings.model_copy(update={"subscriber_batch": 20})  # so that it is killed amid them
    one = Subscriber(small_batches, tmp_path / "audit.log", "audit", code=checkout.folder)
    yield one
    one.stop()


def entries(settings: Settings) -> list[str]:
    """The events' ids, as the page's query has them."""
    (query,) = blocks(PAGE, "sql")
    with psycopg.connect(settings.postgres_url) as connection:
        return [row[-1] for row in connection.execute(query.encode())]


async def test_the_audit_log_of_the_page_has_each_event_once(
    topics: PublicTopics, settings: Settings, checkout: Checkout, audit: Subscriber
) -> None:
    assert "audit.dlq" in checkout.orderlog("topics", "apply")
    assert "0007" in checkout.orderlog("migrate")
    orders = [uuid4() for _ in range(500)]
    sent = topics.publish(*(placed(order) for order in orders), repeated=2)
    audit.start_only()
    await eventually(lambda: entries(settings), audit)
    audit.kill()
    sent += topics.publish(*(told_of(OrderCancelled, order, 2) for order in orders), repeated=2)
    audit.start()
    await eventually(lambda: len(entries(settings)) >= len(sent), audit)
    topics.write("order.placed", str(orders[0]).encode(), b"not avro")  # the last of what comes
    await eventually(lambda: "audit" in checkout.orderlog("dlq", "list", "--subscriber", "audit"), audit)
    assert Counter(entries(settings)) == {message.event_id: 1 for message in sent}
    checkout.orderlog("dlq", "discard", "--subscriber", "audit", "--all", "--yes")
    assert checkout.orderlog("dlq", "list") == "nothing is parked\n"
    audit.stop()
    assert audit.wait(0) == 0


def test_the_subscription_stands_in_twenty_lines() -> None:
    subscription = next(block for block in blocks(PAGE, "python") if "AUDIT = " in block)
    assert len([line for line in subscription.splitlines() if line]) <= 20


def test_the_effect_of_the_page_is_the_one_that_is_tested() -> None:
    """By test_backpressure.py."""
    code = Path(partner.__file__).read_text()
    shown = next(block for block in blocks(PAGE, "python") if "PARTNER = " in block)
    assert shown in code
