"""How far a rebuild is, what is shown of it, which generations are kept, and what cannot be asked for."""

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from cli.rebuild.showing import Shown, about
from projections.generations import Generation, State
from projections.rebuild.cleaning import old_ones
from projections.rebuild.records import Record
from projections.rebuild.standing import Pace, Standing, standing
from tests.kit.command_line import orderlog_here

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def at(done: int, total: int = 3_000, rate: float = 100.0) -> Standing:
    return standing("orders", 7, "events", {0: done}, {0: total - 1_000, 1: 1_000}, rate)


def test_percent_is_of_all_partitions_and_never_too_much() -> None:
    assert (at(0).percent, at(1_000).percent, at(1_000).left, at(1_000).left_s) == (0.0, 33.3, 2_000, 20.0)
    # What is ahead of the ends that were read before does not count.
    assert at(9_999).done == 2_000
    assert standing("orders", 7, "events", {}, {}, 0.0).percent == 100.0
    assert at(0, rate=0.0).left_s is None
    # 100 means all of them.
    assert standing("orders", 7, "events", {0: 99_999}, {0: 100_000}, 1.0).percent == 99.9


def test_it_is_the_same_after_json() -> None:
    assert Standing.from_dict(json.loads(json.dumps(at(500).as_dict()))) == at(500)


def test_the_rate_is_of_the_last_ten_seconds() -> None:
    pace = Pace()
    rates = [
        pace.rate(second, done) for second, done in ((0.0, 0), (5.0, 500), (10.0, 1_000), (15.0, 1_000), (25.0, 1_000))
    ]
    assert rates == [0.0, 100.0, 100.0, 50.0, 0.0]


def test_a_terminal_gets_a_bar_and_a_program_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert about(at(1_000)) == "folding the log: 33.3 % of 1,000 / 3,000, 100/s, 0:20 left"
    drawn = io.StringIO()
    bar = Shown(Console(force_terminal=True, width=120, file=drawn), as_json=False, partitions=True)
    with bar.open():
        bar.tell(at(1_000))
    assert "33.3 % of 1,000 / 3,000" in drawn.getvalue()
    assert "partition 0" in drawn.getvalue()
    lines = Shown(Console(file=io.StringIO()), as_json=True, partitions=False)
    with lines.open():
        lines.tell(at(1_000))
        lines.tell(at(1_100))  # within the same second
    (line,) = capsys.readouterr().out.splitlines()
    assert (json.loads(line)["percent"], "partitions" in json.loads(line)) == (33.3, False)


def record(number: int, state: State, days_ago: float) -> Record:
    return Record(Generation("orders", number), 1, state, NOW - timedelta(days=days_ago), None, None, False, None)


def test_one_earlier_generation_is_kept_for_a_time() -> None:
    found = [record(1, "retired", 2), record(2, "retired", 1), record(3, "live", 9), record(4, "aside", 9)]
    day = 86_400.0
    assert [one.generation.number for one in old_ones(found, 3 * day, NOW)] == [1]
    assert [one.generation.number for one in old_ones(found, 0.5 * day, NOW)] == [1, 2]
    assert old_ones([record(1, "live", 9)], 0, NOW) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name one view, or say --all"),
        (("orders", "--all"), "name one view, or say --all"),
        (("--all", "--rollback"), "--rollback is for one view"),
        (("orders", "--cancel", "--watch"), "--cancel and --watch do not go together"),
        (("invoices",), "there is no view 'invoices'; there is: orders, sales"),
        (("public",), "public events are told once: what public has told is out, and is neither rebuilt nor verified"),
        (("public", "--rollback"), "public events are told once"),
        (("orders", "--jobs", "0"), "--jobs': Input should be greater than or equal to 1"),
        (("orders", "--order", "x"), "Input should be a valid UUID"),
        (("sales", "--as-of", "0:1"), "--as-of is for views in Postgres"),
    ],
)
def test_what_cannot_be_asked_for(arguments: tuple[str, ...], words: str) -> None:
    done = orderlog_here("rebuild", *arguments, variables={"ORDERLOG_DATA_DIR": "/nonexistent"})
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    assert len(done.stderr.splitlines()) == 1
