"""The committed schemas: `<Record>.v<n>.avsc`. A version that was released is never edited, only followed.

Those of the log are here, those of the public events in `public/`, whose names begin with `public.` everywhere.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any

Schema = dict[str, Any]

# Encoded apart, inside an event's `personal_data`, so never registered as subjects of their own.
PERSONAL = frozenset({"Contact", "Destination", "Reason"})


@cache
def versions() -> dict[str, list[Schema]]:
    """Every committed schema by name, oldest version first."""
    found: dict[str, list[tuple[int, Schema]]] = {}
    for prefix, folder in (("", files(__name__)), ("public.", files(__name__) / "public")):
        for file in folder.iterdir():
            if file.name.endswith(".avsc"):
                name, version, _ = file.name.split(".")
                found.setdefault(prefix + name, []).append((int(version[1:]), json.loads(file.read_text())))
    return {name: [schema for _, schema in sorted(numbered, key=lambda n: n[0])] for name, numbered in found.items()}


def latest(name: str) -> Schema:
    """The schema that events of this name are written with."""
    return versions()[name][-1]
