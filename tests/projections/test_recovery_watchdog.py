"""A recovery that stands still ends the process; it cannot be tried on this one."""

import subprocess
import sys

_STUCK = """
import asyncio
from types import SimpleNamespace as Stub
from projections.recovery_watchdog import watch_recovery

completed = asyncio.Event()
recovery = Stub(in_recovery=True, completed=completed, active_offsets={0: 7}, active_remaining_total=lambda: 3)
asyncio.run(watch_recovery(Stub(rebalancing=False, tables=Stub(recovery=recovery)), still_s=0.5))
"""


def test_it_says_how_much_is_missing_and_ends_the_process() -> None:
    ended = subprocess.run([sys.executable, "-c", _STUCK], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    said = ended.stdout + ended.stderr
    assert "table recovery stands still" in said
    assert "3 rows are missing" in said
