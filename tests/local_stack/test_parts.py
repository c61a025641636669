"""The small parts under the stack: the lock, ports, children, downloads."""

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import psutil
import pytest
from jgo.env import LockFile
from jgo.env._lockfile import LockedDependency

from local_stack import downloads, run_state
from local_stack import stack as stack_module
from local_stack.downloads import DownloadFailed, ensure_artifacts
from local_stack.infrastructure import Infrastructure
from local_stack.ports import free_port, is_free, remembered_ports
from local_stack.process import Child, ChildFailed
from local_stack.progress import Silent
from local_stack.run_state import AlreadyRunning, Part, RunState
from local_stack.stack import StackFailed
from local_stack.supervision import Supervised
from tests.kit.worlds import eventually

OWN = """
import sys, time
from pathlib import Path
from local_stack.run_state import owned
with owned(Path(sys.argv[1])):
    print("mine", flush=True)
    time.sleep(60)
"""
PORTS = "from local_stack.ports import free_port; print(*(free_port() for _ in range(200)))"
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_one_stack_per_folder_and_a_killed_owner_leaves_none(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWN, str(tmp_path)], stdout=subprocess.PIPE)
    assert owner.stdout
    assert owner.stdout.readline() == b"mine\n"
    run_state.write(tmp_path, RunState(owner.pid, "running", parts=(Part("kafka", "127.0.0.1:1"),)))
    assert run_state.running(tmp_path) == run_state.last_written(tmp_path)
    with pytest.raises(AlreadyRunning, match="orderlog down"), run_state.owned(tmp_path):
        pass
    owner.kill()
    owner.wait()
    assert run_state.running(tmp_path) is None
    with run_state.owned(tmp_path):
        pass


def test_ports_are_kept_until_somebody_else_has_them(tmp_path: Path) -> None:
    file, preferred = tmp_path / "ports.json", free_port()
    assert remembered_ports(file, ("a",), {"a": preferred}) == {"a": preferred}
    assert remembered_ports(file, ("a",)) == {"a": preferred}
    with socket.create_server(("127.0.0.1", preferred)):
        assert not is_free(preferred)
        assert remembered_ports(file, ("a",), {"a": preferred})["a"] != preferred


def test_no_two_processes_are_given_the_same_port() -> None:
    both = [subprocess.Popen([sys.executable, "-c", PORTS], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    given = " ".join(process.communicate(timeout=60)[0] for process in both).split()
    assert len(set(given)) == len(given) == 400


async def test_a_child_that_ends_is_started_again_and_its_last_words_kept(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no such file')"]
    child = Child("part", command, tmp_path / "part.log")
    supervised = Supervised(child, child.start)
    supervised.launch()

    def restarted() -> bool:
        supervised.tend()
        return supervised.restarts >= 2

    await eventually(restarted)
    child.wait(10)
    with pytest.raises(ChildFailed, match=r"part ended with code 0: .*no such file"):
        child.check()


def test_children_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys,time; from pathlib import Path; from local_stack.process import Child\n"
        f"c = Child('c', {SLEEP!r}, Path(sys.argv[1])); c.start(); print(c.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    child.wait(10)


def test_where_the_kernel_does_not_the_watchdog_ends_them(tmp_path: Path) -> None:
    program = (
        f"import subprocess,time; from local_stack.watchdog import Watchdog\n"
        f"p = subprocess.Popen({SLEEP!r}, start_new_session=True); w = Watchdog(); w.guard(p.pid)\n"
        "print(p.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    child.wait(10)


def test_a_download_that_is_not_what_was_locked_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = LockedDependency("org.slf4j", "slf4j-simple", "1.7.36", "jar", None, "0" * 64)
    LockFile([wrong]).save(tmp_path / "lock.toml")
    monkeypatch.setattr(downloads, "_LOCK", tmp_path / "lock.toml")
    with pytest.raises(DownloadFailed, match=r"slf4j-simple 1\.7\.36 arrived with SHA-256"):
        ensure_artifacts(tmp_path / "cache", Silent())
    assert list((tmp_path / "cache" / "jars").iterdir()) == []


def test_who_starts_at_the_same_time_waits_and_fetches_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jar = LockedDependency("org.slf4j", "slf4j-simple", "1.7.36", "jar", None, "0" * 64)
    LockFile([jar]).save(tmp_path / "lock.toml")
    monkeypatch.setattr(downloads, "_LOCK", tmp_path / "lock.toml")
    fetched: list[Path] = []
    both_are_here = Barrier(2)

    def fetch(_: LockedDependency, target: Path, __: Silent) -> None:
        fetched.append(target)
        target.parent.mkdir()
        target.touch()

    def start(_: int) -> Path:
        both_are_here.wait(10)
        (found,) = ensure_artifacts(tmp_path / "cache", Silent()).kafka_jars
        return found

    monkeypatch.setattr(downloads, "_fetch", fetch)
    with ThreadPoolExecutor(2) as pool:
        (found,) = set(pool.map(start, range(2)))
    assert fetched == [found]


def test_a_full_disk_is_said_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Usage())
    with pytest.raises(StackFailed, match="only 3 MB are free"):
        stack_module._require_space(tmp_path)


class _Usage:
    free = 3 * 2**20


def test_everything_comes_back_after_kill_9_of_all_at_once(private_infrastructure: Infrastructure) -> None:
    for part in private_infrastructure.parts:
        part.kill()
    # A pid file whose process is gone, and one whose number is somebody else's by now.
    pid_file = Path(private_infrastructure.postgres._data) / "postmaster.pid"
    stale = pid_file.read_text().split("\n", 1)[1]
    pid_file.write_text(f"{os.getpid()}\n{stale}")
    private_infrastructure.start()
    assert all(part.is_ready() for part in private_infrastructure.parts)
