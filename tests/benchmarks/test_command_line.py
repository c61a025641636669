"""What `python -m benchmarks` says to a person."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import MEASUREMENTS, chosen_names
from schemas.errors import BadInput

ROOT = Path(__file__).parents[2]


def benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_help_lists_every_measurement_with_what_it_measures() -> None:
    shown = benchmarks("--help")
    assert shown.returncode == 0
    assert [name for name in MEASUREMENTS if f"{name}: " not in shown.stdout] == []
    assert all(module.__doc__ for module in MEASUREMENTS.values())


@pytest.mark.parametrize("arguments", [("dinner",), ("writer", "dinner"), ("--fast",)], ids=" ".join)
def test_a_wrong_name_is_one_line_and_exit_code_2(arguments: tuple[str, ...]) -> None:
    done = benchmarks(*arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("orderlog: ")
    assert arguments[-1] in line
    assert done.stdout == ""


def test_names_run_in_the_order_given_and_once_each() -> None:
    assert chosen_names(["writer", "append", "writer"]) == ["writer", "append"]
    assert chosen_names([]) == list(MEASUREMENTS)
    with pytest.raises(BadInput, match="there is: append, "):
        chosen_names(["dinner"])
