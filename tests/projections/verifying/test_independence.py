"""The independent fold is independent: it imports nothing of the path that made the rows."""

import ast
from collections.abc import Iterator
from pathlib import Path

import projections.verifying

THE_OTHER_PATH = (
    *("schemas.compiled", "schemas.codec", "schemas.events", "eventlog.recorded"),
    *("projections.batches", "projections.checkpoints", "projections.read_ahead", "projections.parking"),
    *("projections.orders", "projections.sales", "projections.fenced_table"),
)


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_it_imports_nothing_of_the_path_that_made_the_rows() -> None:
    files = list(Path(projections.verifying.__path__[0]).glob("*.py"))
    assert len(files) > 5
    found = {(file.name, name) for file in files for name in imported(file) if name.startswith(THE_OTHER_PATH)}
    assert found == set()
