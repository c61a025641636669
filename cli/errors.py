"""No traceback reaches a user: what can go wrong, as one line and an exit code."""

import sys
import tempfile
import traceback
from collections.abc import Callable

import httpx
import psycopg
from aiokafka.errors import KafkaError
from pydantic import ValidationError
from typer.exceptions import TyperException

from schemas.errors import BadInput, Explained

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


def explained(action: Callable[[], int | None]) -> int:
    """Run `action`, whose value is the exit code when there is one.

    Returns the process's exit code: 2 for wrong input, 1 for what failed, each with one line.
    """
    try:
        return action() or 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except TyperException as error:
        return _say(BAD_INPUT, error.format_message())
    except ValidationError as error:
        return _say(BAD_INPUT, _settings_error(error))
    except BadInput as error:
        return _say(BAD_INPUT, str(error))
    except (Explained, OSError, httpx.HTTPError) as error:
        return _say(FAILED, str(error) or type(error).__name__)
    except KafkaError as error:
        return _say(FAILED, f"Kafka does not answer as it should: {error or type(error).__name__}")
    except psycopg.Error as error:
        return _say(FAILED, f"Postgres does not answer as it should: {error}")
    except Exception as bug:
        return _say(FAILED, f"this is a bug of orderlog's, {type(bug).__name__}: {bug}; details are in {_report(bug)}")


def _say(code: int, text: str) -> int:
    if text:  # no arguments at all: the help was printed
        sys.stderr.write(f"orderlog: {' '.join(text.split())}\n")
    return code


def _settings_error(error: ValidationError) -> str:
    first = error.errors()[0]
    name = "_".join(str(part) for part in first["loc"]).upper()
    return f"ORDERLOG_{name}={first['input']!r} is not valid: {first['msg']}"


def _report(bug: Exception) -> str:
    """The file with the traceback."""
    with tempfile.NamedTemporaryFile("w", prefix="orderlog-bug-", suffix=".txt", delete=False) as file:
        file.writelines(traceback.format_exception(bug))
    return file.name
