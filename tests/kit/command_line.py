"""The `orderlog` command in this process: what it would print and return, without the second it takes to start."""

import io
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from subprocess import CompletedProcess

import pytest

from cli.errors import explained
from cli.main import app


def orderlog_here(*arguments: str, variables: Mapping[str, str]) -> CompletedProcess[str]:
    """The outcome of `orderlog ARGUMENTS` with `variables` in the environment. Not for what serves until it is told."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name, value in variables.items():
            patch.setenv(name, value)
        code = explained(lambda: app(list(arguments), standalone_mode=False))
    return CompletedProcess(["orderlog", *arguments], code, out.getvalue(), err.getvalue())
