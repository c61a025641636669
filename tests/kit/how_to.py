"""How-to pages carried out: the files and the changes that a page shows, made in a copy of the packages it is about."""

import importlib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

_FILE = re.compile(r"^`([\w/]+\.py)`:\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_DIFF = re.compile(r"^```diff\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CHANGED = re.compile(r"^\+\+\+ b/(\S+)\n", re.MULTILINE)


def carry_out(page: str, folder: Path, packages: Sequence[str]) -> list[str]:
    """Copy `packages` into `folder`, write the page's files and make its changes there; the names of the files."""
    for name in packages:
        (source,) = importlib.import_module(name).__path__
        shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    files = _FILE.findall(page)
    for name, text in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    for diff in _DIFF.findall(page):
        _patch(folder, diff)
    return [name for name, _ in files]


def blocks(page: str, language: str) -> list[str]:
    """The page's blocks in `language`."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def _patch(folder: Path, diff: str) -> None:
    """Change a file as `diff` says, each of whose lines must fit in one place."""
    (name,) = _CHANGED.findall(diff)
    text = (folder / name).read_text()
    for hunk in diff.split("@@\n")[1:]:
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] in " -")
        after = "".join(line[1:] for line in lines if line[0] in " +")
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    (folder / name).write_text(text)
