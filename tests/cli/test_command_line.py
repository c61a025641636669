"""What the `orderlog` command says to a person: complete help, one line for an error, exit code 2 for bad input."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.errors import explained
from cli.main import app
from eventlog.settings import Settings
from local_stack.services import environment_of
from schemas import avro
from tests.kit.command_line import orderlog_here


def orderlog(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment: Mapping[str, str] = {**os.environ, "COLUMNS": "200", **variables}
    command = [sys.executable, "-m", "cli.main", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False)


VERBS = (
    *("up", "down", "status", "demo", "serve", "project", "subscribe", "import"),
    *("topics", "schemas", "migrate", "log", "verify", "dlq", "config"),
)


def test_help_lists_every_verb_and_each_has_its_own(tmp_path: Path) -> None:
    shown = orderlog("--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert [verb for verb in VERBS if verb not in shown.stdout] == []
    for verb in (
        *((verb,) for verb in VERBS),
        ("topics", "plan"),
        ("topics", "asyncapi"),
        ("schemas", "check"),
        ("schemas", "unknown"),
        ("log", "tail"),
        ("log", "backup"),
        ("log", "restore"),
        *(("dlq", verb) for verb in ("list", "show", "redrive", "discard")),
    ):
        assert CliRunner().invoke(app, [*verb, "--help"]).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "variables", "says"),
    [
        (("fly",), {}, "No such command 'fly'"),
        (("up", "--fast"), {}, "No such option: --fast"),
        (("serve", "dinner"), {}, "'command-api', 'query-api'"),
        (("project", "dinner"), {}, "there is: orders"),
        (("log", "tail", "--order", "42"), {}, "'--order': Input should be a valid UUID"),
        (("demo", "--orders-per-second", "0"), {}, "orders-per-second"),
        (("verify", "dinner"), {}, "there is: orders, sales"),
        (("verify", "public"), {}, "public events are told once"),
        (("project", "public", "--generation", "7"), {}, "public events are told once"),
        (("log", "restore", "/nowhere"), {}, "there is no backup in /nowhere"),
        (("dlq", "redrive"), {}, "one by its position (partition:offset) or event id, one --order, or --all"),
        (("dlq", "redrive", "3:1", "--all"), {}, "say which parked events"),
        (("dlq", "redrive", "--subscriber", "email"), {}, "say which parked events"),
        (
            ("dlq", "show", "x", "--projection", "orders"),
            {},
            "'x' is not a position; write partition:offset, for example",
        ),
        (
            ("dlq", "list", "--projection", "dinner"),
            {},
            "there is no projection 'dinner'; there is: orders, sales, public",
        ),
        (("dlq", "list", "--subscriber", "dinner"), {}, "there is no subscriber 'dinner'; there is: inventory"),
        (("dlq", "list", "--subscriber", "email", "--projection", "orders"), {}, "exclude each other"),
        (("dlq", "discard", "--subscriber", "email", "--all"), {}, "say --yes, or --dry-run"),
        (("dlq", "show", "3:1", "--subscriber", "email"), {}, "a subscriber's events have ids, such as order.events"),
        (("dlq", "discard", "3:1"), {}, "say --yes, or --dry-run"),
        (("subscribe", "dinner"), {}, "there is no subscriber 'dinner'; there is: inventory"),
        (("status",), {"ORDERLOG_PARTITIONS": "many"}, "ORDERLOG_PARTITIONS='many'"),
        (("config",), {"ORDERLOG_LOG_FORMAT": "xml"}, "ORDERLOG_LOG_FORMAT='xml'"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], variables: dict[str, str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = orderlog_here(*arguments, variables=variables)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("orderlog: ")
    assert says in line


def test_bad_input_to_a_process_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = orderlog("fly", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "orderlog: No such command 'fly'.\n")


@pytest.mark.parametrize(
    "arguments",
    [("topics", "plan"), ("migrate",), ("project", "orders")],
    ids=" ".join,
)
def test_what_does_not_answer_is_one_line_and_exit_code_1(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    nowhere = {
        "ORDERLOG_KAFKA_BOOTSTRAP": "127.0.0.1:9",
        "ORDERLOG_POSTGRES_URL": "postgresql://postgres@127.0.0.1:9/x",
        "ORDERLOG_REGISTRY_URL": "http://127.0.0.1:9",
        "ORDERLOG_WORKER_PORT": "0",
    }
    done = orderlog(*arguments, cwd=tmp_path, **nowhere)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("orderlog: ")


@pytest.mark.parametrize("service", [("serve", "command-api"), ("serve", "query-api"), ("project", "orders")])
def test_a_taken_port_is_named(tmp_path: Path, service: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        names = ("COMMAND_API", "QUERY_API", "WORKER")
        done = orderlog(*service, cwd=tmp_path, **{f"ORDERLOG_{name}_PORT": port for name in names})
    assert done.returncode == 1
    assert f"orderlog: cannot listen on 127.0.0.1:{port}: Address already in use" in done.stderr


def test_even_a_bug_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> int:
        raise ZeroDivisionError("of course")

    assert explained(broken) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "ZeroDivisionError: of course" in line
    report = Path(line.rpartition(" ")[2])
    assert "in broken" in report.read_text()
    report.unlink()


def test_config_lists_every_setting_and_where_it_comes_from(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ORDERLOG_PARTITIONS=6\n")
    shown = orderlog("config", cwd=tmp_path, ORDERLOG_TOPIC_PREFIX="mine.").stdout
    lines = {line.split()[0]: line for line in shown.splitlines()[1:] if line.startswith("ORDERLOG_")}
    assert set(lines) == {f"ORDERLOG_{name.upper()}" for name in Settings.model_fields}
    assert "6 " in lines["ORDERLOG_PARTITIONS"]
    assert "set" in lines["ORDERLOG_PARTITIONS"]
    assert "default" in lines["ORDERLOG_REPLICATION_FACTOR"]


def test_status_without_anything_running_is_exit_code_1(tmp_path: Path) -> None:
    done = orderlog("status", "--json", cwd=tmp_path, ORDERLOG_KAFKA_BOOTSTRAP="127.0.0.1:9")
    assert done.returncode == 1
    assert '"name": "command-api"' in done.stdout


def test_committed_schemas_that_break_a_rule_are_listed_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The registry is not even asked: there is none."""
    files = {name: content for name, content in avro.committed_files().items() if name != "OrderShipped.v1.avsc"}
    monkeypatch.setattr(avro, "committed_files", lambda: files)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["schemas", "check"], env={"ORDERLOG_REGISTRY_URL": "http://127.0.0.1:9"})
    assert done.exit_code == 1
    assert done.output.startswith("OrderShipped.v1.avsc was released and is gone")


def test_preparing_a_cluster_step_by_step(settings: Settings, tmp_path: Path) -> None:
    variables = {name: value for name, value in environment_of(settings).items() if name.startswith("ORDERLOG_")}

    def run(*arguments: str, code: int = 0) -> str:
        done = orderlog_here(*arguments, variables=variables | {"COLUMNS": "200"})
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    def run_service(*arguments: str) -> str:
        done = orderlog(*arguments, cwd=tmp_path, **variables)
        assert done.returncode == 1, done.stderr
        return done.stderr

    for service in (("project", "orders"), ("serve", "command-api")):
        assert "run: orderlog topics apply" in run_service(*service)
    assert "create" in run("topics", "plan")
    assert "order.events" in run("topics", "apply")
    assert "nothing to change" in run("topics", "plan")
    assert "run: orderlog schemas register" in run("schemas", "check", code=1)
    assert run("schemas", "check", "--offline") == "every version can follow all before it\n"
    for service in (("project", "orders"), ("serve", "command-api")):
        assert "run: orderlog schemas register" in run_service(*service)
    assert "OrderPlaced" in run("schemas", "register")
    assert "every schema is registered" in run("schemas", "check")
    assert run("schemas", "unknown") == "this release knows every event in the log\n"
    assert "0001" in run("migrate")
    assert "nothing to migrate" in run("migrate")
    assert run("dlq", "list") == "nothing is parked\n"
    assert run("log", "tail", "--from-start", "--no-follow") == ""
