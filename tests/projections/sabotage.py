"""Programs that are an orderlog command with one thing changed, to be run as real processes."""

import sys
from pathlib import Path

from eventlog.settings import Settings
from tests.kit.worlds import Worker

_OTHER_GROUP = """
from projections import apps
app = apps.ProjectionApp
apps.ProjectionApp = lambda app_id, *rest, **options: app(app_id + "-deliberately", *rest, **options)
"""
_NEVER_ASSIGNED = """
import asyncio
from projections import transport
transport.LogConsumer.seek_to_committed = lambda self: asyncio.sleep(3600)
"""
_LOOP_HELD_UP = """
import time
from projections.worker import ViewWorker
ViewWorker._count = lambda *_: time.sleep(3600)
"""
_CHANGELOG_UNREADABLE = """
from projections import transport
getmany = transport.LogConsumer._getmany
async def nothing_of_tables(self, *rest, **named):
    fetched = await getmany(self, *rest, **named)
    return {tp: records for tp, records in fetched.items() if self._is_log(tp)}
transport.LogConsumer._getmany = nothing_of_tables
"""
_DIE = """
import os, signal
from projections import changelog, parking_table_redrive
from projections.changelog import Changelog
from projections.fenced_table import FencedTable
from projections.parking_holds import HELD_KEY
from projections.table_worker import TableWorker
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
def parks(rows):
    return any(key == HELD_KEY for key, _ in rows)
append, write, park = Changelog._append, FencedTable.write, TableWorker._park
"""
DEATHS = {
    "once Postgres has what is parked": """
async def park_and_die(self, *rest):
    await park(self, *rest)
    die()
TableWorker._park = park_and_die
""",
    "after the first record batch": """
changelog._MOST_BYTES = 1_500
async def append_some_and_die(self, tenure, batches):
    batches = list(batches)
    if not any(draft.key == HELD_KEY for drafts in batches for draft in drafts):
        return await append(self, tenure, batches)
    await append(self, tenure, batches[: max(len(batches) // 2, 1)])
    die()
Changelog._append = append_some_and_die
""",
    "between changelog and RocksDB": """
FencedTable.write = lambda self, partition, rows, offset: (
    die() if parks(rows) else write(self, partition, rows, offset)
)
""",
    "after RocksDB": """
def write_and_die(self, partition, rows, offset):
    write(self, partition, rows, offset)
    if parks(rows):
        die()
FencedTable.write = write_and_die
""",
    "instead of settling what was redriven": """
parking_table_redrive.settle = die
""",
}
"""{where a sales worker ends itself with SIGKILL, as soon as it parks or redrives: what makes it so}."""
_PUBLISHER = """
import os, signal
from projections import publishing
from projections.publishing import Outbox, Publisher
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
send, publish = Outbox.send, Publisher.send
"""
PUBLISHING_DEATHS = {
    "before anything is sent": """
Publisher.send = die
""",
    "once some is acknowledged": """
async def send_half_and_die(self, drafts, meanwhile):
    await publish(self, drafts[: (len(drafts) + 1) // 2], meanwhile)
    die()
Publisher.send = send_half_and_die
""",
    "once all is acknowledged": """
async def send_and_die(self, connection):
    await send(self, connection)
    if self._drafts:
        die()
Outbox.send = send_and_die
""",
}
"""{where a worker of the public events ends itself with SIGKILL: what makes it so}."""
_SUSPENDED_WHILE_PUBLISHING = """
asleep = []
class Producer(publishing.Producer):
    def flush(self, timeout):
        if not asleep:
            asleep.append(True)
            os.kill(os.getpid(), signal.SIGSTOP)
        return super().flush(timeout)
publishing.Producer = Producer
"""
_RUN = """
import sys
from cli.main import main
main()
"""


class SabotagedWorker(Worker):
    """A worker with something changed before it starts."""

    def __init__(self, settings: Settings, log_file: Path, change: str, projection: str = "orders") -> None:
        super().__init__(settings, log_file, projection)
        self._command = [sys.executable, "-c", change + _RUN, "project", projection]


def worker_in_another_group(settings: Settings, log_file: Path, projection: str = "orders") -> Worker:
    """It reads every partition, whoever else does."""
    return SabotagedWorker(settings, log_file, _OTHER_GROUP, projection)


def publisher_that_dies(settings: Settings, log_file: Path, where: str) -> Worker:
    """It kills itself at one of PUBLISHING_DEATHS."""
    return SabotagedWorker(settings, log_file, _PUBLISHER + PUBLISHING_DEATHS[where], "public")


def publisher_that_suspends_itself(settings: Settings, log_file: Path) -> Worker:
    """It is suspended while it publishes for the first time; what it was about to send is sent when it wakes up."""
    return SabotagedWorker(settings, log_file, _PUBLISHER + _SUSPENDED_WHILE_PUBLISHING, "public")


def worker_that_gets_no_events(settings: Settings, log_file: Path) -> Worker:
    """Its first rebalance does not come to an end."""
    return SabotagedWorker(settings, log_file, _NEVER_ASSIGNED)


def worker_with_a_blocked_loop(settings: Settings, log_file: Path) -> Worker:
    """After its first batch nothing runs in it any more but threads."""
    return SabotagedWorker(settings, log_file, _LOOP_HELD_UP)


def sales_worker_that_cannot_read_its_changelog(settings: Settings, log_file: Path) -> Worker:
    """No row of a table comes back to it."""
    return SabotagedWorker(settings, log_file, _CHANGELOG_UNREADABLE, "sales")


def sales_worker_that_dies(settings: Settings, log_file: Path, where: str) -> Worker:
    """It kills itself at one of DEATHS."""
    return SabotagedWorker(settings, log_file, _DIE + DEATHS[where], "sales")
