"""The committed schemas: `<Record>.v<n>.avsc`. A version that was released is never edited, only followed.

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
    """{name: content} of the schemas and the list of their sums."""
    found = [file for file in files(__name__).iterdir() if file.name.endswith((".avsc", "SUMS"))]
    return {file.name: file.read_bytes() for file in found}


@cache
def versions() -> dict[str, list[Schema]]:
    """Every committed schema by record name, oldest version first."""
    found: dict[str, list[tuple[int, Schema]]] = {}
    for file, content in committed_files().items():
        if file.endswith(".avsc"):
            name, version, _ = file.split(".")
            found.setdefault(name, []).append((int(version[1:]), json.loads(content)))
    return {name: [schema for _, schema in sorted(numbered, key=lambda n: n[0])] for name, numbered in found.items()}


def latest(name: str) -> Schema:
    """The schema that events of this name are written with."""
    return versions()[name][-1]
