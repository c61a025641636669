"""docs/how-to/add-a-view.md, done as it says: its files, its line, its worker, its query, on a real log."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import psycopg
import pytest

from eventlog.reader import log_ends
from eventlog.settings import Settings
from local_stack.process import Child
from local_stack.services import environment_of, orderlog
from schemas.events import LineAdded, LinesReturned, OrderPlaced
from tests.kit.how_to import blocks, carry_out
from tests.kit.worlds import eventually, log_of, prepare
from tests.projections.histories import history
from tests.projections.log import log_writer
from tests.projections.refold import next_offsets

PAGE = (Path(__file__).parents[2] / "docs/how-to/add-a-view.md").read_text()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder in which `projections` has been changed as the page says."""
    files = carry_out(PAGE, tmp_path, ["projections"])
    assert [Path(name).stem for name in files] == ["__init__", "fold", "tables", "view"]
    return tmp_path


@pytest.fixture
def worker(settings: Settings, checkout: Path) -> Iterator[Child]:
    # The changed folder goes before the installed one.
    environment = environment_of(settings) | {"PYTHONPATH": str(checkout)}
    command, log = orderlog("project", "skus"), checkout / "worker.log"
    process = Child("worker", command, log, environment=environment, cwd=checkout)
    yield process
    process.kill()


async def test_the_view_of_the_page_counts_every_piece(settings: Settings, worker: Child) -> None:
    codec, random = await prepare(settings), Random(9)
    async with log_writer(settings, codec) as writer:
        await writer.append([event for _ in range(200) for event in history(random)])
        worker.start()
        await eventually(lambda: sum(next_offsets(settings).values()) > 0, worker)
        worker.kill()
        await writer.append([event for _ in range(200) for event in history(random)])
        worker.start()
    ends = await log_ends(settings.kafka_bootstrap, settings.topic("order.events"))
    await eventually(lambda: next_offsets(settings) == ends, worker)
    ordered, returned = Counter[str](), Counter[str]()
    for one in await log_of(settings, codec):
        match one.event:
            case OrderPlaced(lines=lines):
                ordered.update({line.sku: line.quantity for line in lines})
            case LineAdded(sku=sku, quantity=quantity):
                ordered[sku] += quantity
            case LinesReturned(lines=back):
                returned.update({line.sku: line.quantity for line in back})
    (query,) = blocks(PAGE, "sql")
    with psycopg.connect(settings.postgres_url) as connection:
        rows = connection.execute(query.encode()).fetchall()
    assert {sku: (int(o), int(r)) for sku, o, r in rows} == {sku: (ordered[sku], returned[sku]) for sku in ordered}
    worker.stop()
    assert worker.wait(0) == 0
