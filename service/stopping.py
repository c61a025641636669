"""The hard stop: when going on could skip an event, the process ends before anything else is committed."""

import logging
import os
import sys
from typing import Any, NoReturn

import structlog

log = structlog.get_logger()


def stop_at_once(event: str, **fields: Any) -> NoReturn:
    """Log why and end the process with status 1, running no clean-up.

    A normal exit would have Faust commit, as done, what has just failed.
    """
    log.critical(event, **fields)
    logging.shutdown()
    sys.stdout.flush()
    os._exit(1)
