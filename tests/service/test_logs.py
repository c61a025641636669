"""What a log says of an exception."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
import structlog
from eventlog.settings import Settings
from service import logs

def decide(email):
    raise ZeroDivisionError("a bug")

logs.configure(Settings(_env_file=None, log_format=sys.argv[1]), "test")
try:
    decide("ada@" + "example.com")
except ZeroDivisionError:
    structlog.get_logger().exception("unexpected_error")
"""


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_traceback_says_where_and_not_with_what(log_format: str) -> None:
    command = [sys.executable, "-c", PROGRAM, log_format]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stderr
    assert "in decide" in said
    assert "ZeroDivisionError: a bug" in said
    assert "ada@example.com" not in said
