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


def worker_in_another_group(settings: Settings, log_file: Path) -> Worker:
    """It reads every partition, whoever else does."""
    return SabotagedWorker(settings, log_file, _OTHER_GROUP)


def worker_that_gets_no_events(settings: Settings, log_file: Path) -> Worker:
    """Its first rebalance does not come to an end."""
    return SabotagedWorker(settings, log_file, _NEVER_ASSIGNED)


def worker_with_a_blocked_loop(settings: Settings, log_file: Path) -> Worker:
    """After its first batch nothing runs in it any more but threads."""
    return SabotagedWorker(settings, log_file, _LOOP_HELD_UP)
