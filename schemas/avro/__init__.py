"""The committed schemas: `<Record>.v<n>.avsc`. A version that was released is never edited, only followed.

Those of the log are here, those of the public events in `public/`, whose names begin with `public.` everywhere.
SHA256SUMS lists them as they were released; schemas/compatibility.py holds them to it, and against each other.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

Schema = dict[str, Any]

# Encoded apart, inside an event's `personal_data`, so never registered as subjects of their own.
PERSONAL = frozenset({"Contact", "Destination", "Reason"})


def committed_files() -> Mapping[str, bytes]:
    """{path: content} of the schemas and the list of their sums."""
    folders = {"": files(__name__), "public/": files(__name__) / "public"}
    found = {prefix + file.name: file for prefix, folder in folders.items() for file in folder.iterdir()}
    return {path: file.read_bytes() for path, file in found.items() if path.endswith((".avsc", "SUMS"))}


def file_of(name: str, version: int) -> str:
    """The path of a version in this folder."""
    return f"{name.replace('.', '/')}.v{version}.avsc"


@cache
def versions() -> dict[str, list[Schema]]:
    """Every committed schema by name, oldest version first."""
    found: dict[str, list[tuple[int, Schema]]] = {}
    for file, content in committed_files().items():
        if file.endswith(".avsc"):
            name, version, _ = file.replace("/", ".").rsplit(".", 2)
            found.setdefault(name, []).append((int(version[1:]), json.loads(content)))
    return {name: [schema for _, schema in sorted(numbered, key=lambda n: n[0])] for name, numbered in found.items()}


def latest(name: str) -> Schema:
    """The schema that events of this name are written with."""
    return versions()[name][-1]
