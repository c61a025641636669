"""Ends a worker whose tables do not get ready: Faust's recovery can come to stand still without a word."""

import asyncio
import time
from typing import Any, NoReturn

from projections.stopping import stop_at_once

_EVERY_S = 1.0


async def watch_recovery(app: Any, still_s: float) -> NoReturn:
    """End the process once a rebalance or a recovery has gone on for `still_s` without a row recovered."""
    seen, since = -1, time.monotonic()
    while True:
        await asyncio.sleep(_EVERY_S)
        recovery = app.tables.recovery
        busy = app.rebalancing or recovery.in_recovery or not recovery.completed.is_set()
        recovered = sum(offset or 0 for offset in recovery.active_offsets.values())
        if not busy or recovered != seen:
            seen, since = recovered, time.monotonic()
        elif time.monotonic() - since > still_s:
            left = recovery.active_remaining_total()
            why = f"for {still_s:.0f} s no row was recovered and no partition assigned; {left} rows are missing"
            stop_at_once("projection_stopped", reason=f"table recovery stands still: {why}")
