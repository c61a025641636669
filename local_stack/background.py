"""The stack as a process of its own, which outlives the command that started it."""

import subprocess
import time
from pathlib import Path

import psutil

from eventlog.settings import Settings
from local_stack import run_state
from local_stack.progress import Progress
from local_stack.run_state import RunState
from local_stack.services import environment_of, orderlog
from local_stack.stack import StackFailed

_EVERY_S = 0.05
_STOP_S = 60.0


def start(settings: Settings, progress: Progress) -> RunState:
    """Start a stack that goes on after this process, and return once it is ready; the running one if there is one.

    Raises StackFailed with the stack's own reason.
    """
    data_dir = settings.data_dir.absolute()
    if run_state.is_running(data_dir):
        return until_running(data_dir, progress)
    log = data_dir / "logs" / "stack.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            orderlog("up", "--foreground"),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=_environment(settings, data_dir),
            start_new_session=True,
        )
    return until_running(data_dir, progress, process)


def until_running(data_dir: Path, progress: Progress, process: subprocess.Popen[bytes] | None = None) -> RunState:
    """Return once the stack is ready, passing its steps on. Raises StackFailed when it fails, or ends."""
    told = ""
    while True:
        ended = process.poll() is not None if process else not run_state.is_running(data_dir)
        state = run_state.last_written(data_dir)
        ours = state if state and (process is None or state.pid == process.pid) else None
        if ours and ours.state == "running":
            return ours
        if ended:
            reason = ours.step if ours and ours.state == "failed" else f"see {data_dir / 'logs' / 'stack.log'}"
            raise StackFailed(f"the stack did not start: {reason}")
        if ours and ours.step != told:
            told = ours.step
            progress.step(told)
        time.sleep(_EVERY_S)


def stop(data_dir: Path) -> bool:
    """Stop the stack that runs in `data_dir` and return once it has ended; whether there was one.

    Raises StackFailed when it has not ended after a minute.
    """
    state = run_state.running(data_dir)
    if state is None:
        return False
    process = psutil.Process(state.pid)
    process.terminate()
    try:
        process.wait(_STOP_S)
    except psutil.TimeoutExpired:
        raise StackFailed(f"process {state.pid} has not ended within {_STOP_S:g} s; kill it by hand") from None
    return True


def _environment(settings: Settings, data_dir: Path) -> dict[str, str]:
    # What is set travels with the environment and .env, so that "set" and "default" stay apart.
    given = settings.model_copy(update={"data_dir": data_dir})
    variables = environment_of(given)
    keep = {f"ORDERLOG_{name.upper()}" for name in (*settings.model_fields_set, "data_dir")}
    return {name: value for name, value in variables.items() if not name.startswith("ORDERLOG_") or name in keep}
