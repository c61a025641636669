"""Structured logs: for people on a console, as JSON lines for machines."""

import logging
import sys
from typing import Any

import structlog

from eventlog.settings import Settings

# aiokafka reports every failed reconnection as an error; our own loops say what matters of it.
_NOISY = ("aiokafka", "kafka", "faust", "mode", "httpx", "mail")


def console() -> structlog.dev.ConsoleRenderer:
    """Lines for people. Tracebacks without local variables: those hold customers' names, and take seconds to print."""
    return structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)


def configure(settings: Settings, service: str) -> None:
    """Send this process's logs, the libraries' too, to standard error in the format of the settings."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    as_json = settings.log_format == "json"
    renderer: Any = structlog.processors.JSONRenderer() if as_json else console()
    final = [structlog.processors.format_exc_info, renderer] if as_json else [renderer]
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(level, logging.CRITICAL if name == "aiokafka" else logging.WARNING))
    structlog.contextvars.bind_contextvars(service=service)
