"""The committed schemas against each other: what a change breaks is said with file, field and rule."""

import copy
import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from schemas import avro
from schemas.avro import Schema
from schemas.compatibility import SUMS, check_committed, incompatibilities, unreleased_or_edited

Edit = Callable[[list[dict[str, Any]]], object]


def test_the_committed_schemas_can_follow_each_other_and_are_as_released() -> None:
    assert check_committed() == []


def edited(schema: Schema, edit: Edit) -> Schema:
    changed = copy.deepcopy(schema)
    edit(changed["fields"])
    return changed


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (
            lambda fields: fields.append({"name": "weight", "type": "long"}),
            "OrderShipped.v2.avsc: field weight has no default, so events of version 1 cannot be read",
        ),
        (
            lambda fields: fields.pop(2),
            "OrderShipped.v2.avsc: field tracking is gone, and has no default in version 1, "
            "so readers of version 1 cannot read its events",
        ),
        (
            lambda fields: fields[1].update(type="long"),
            "OrderShipped.v2.avsc: field carrier has another type than in version 1, "
            "type_mismatch: reader type: long not compatible with writer type: string",
        ),
        (
            lambda fields: fields[1].update(type=["null", "string"], default=None),
            "OrderShipped.v2.avsc: field carrier has another type than in version 1, "
            "type_mismatch: reader type: string not compatible with writer type: null",
        ),
    ],
)
def test_a_change_that_is_not_allowed_names_file_field_and_rule(edit: Edit, says: str) -> None:
    first = avro.versions()["OrderShipped"][0]
    assert list(incompatibilities("OrderShipped", [first, edited(first, edit)])) == [says]


def test_every_version_is_held_against_every_other() -> None:
    """The second removes what the first had a default for, the third brings it back as something else."""
    first = edited(
        avro.versions()["OrderDelivered"][0], lambda f: f.append({"name": "at", "type": "string", "default": ""})
    )
    second = avro.versions()["OrderDelivered"][0]
    third = edited(second, lambda fields: fields.append({"name": "at", "type": "long", "default": 0}))
    assert list(incompatibilities("OrderDelivered", [first, second])) == []
    assert list(incompatibilities("OrderDelivered", [second, third])) == []
    (problem,) = incompatibilities("OrderDelivered", [first, second, third])
    assert problem.startswith("OrderDelivered.v3.avsc: field at has another type than in version 1")


def test_inside_a_list_the_rules_hold_too() -> None:
    first = avro.latest("OrderPlaced")
    second = edited(first, lambda f: f[3]["type"]["items"]["fields"].append({"name": "gift", "type": "boolean"}))
    (problem,) = incompatibilities("OrderPlaced", [first, second])
    assert problem.startswith("OrderPlaced.v2.avsc: field lines")
    assert "reader_field_missing_default_value: gift" in problem


def test_a_record_keeps_its_name_and_one_without_an_id_its_only_version() -> None:
    first = avro.latest("OrderShipped")
    (problem,) = incompatibilities("OrderShipped", [first, {**first, "namespace": "elsewhere"}])
    assert problem.startswith("OrderShipped.v2.avsc: the record is elsewhere.OrderShipped")
    (problem,) = incompatibilities("Reason", [avro.latest("Reason")] * 2)
    assert problem.startswith("Reason.v2.avsc: Reason is written without a schema id")


def test_a_released_version_is_neither_edited_nor_removed_nor_unlisted() -> None:
    files = {"A.v1.avsc": b"{}", "B.v1.avsc": b"{}"}
    files[SUMS] = b"".join(f"{sha256(text).hexdigest()}  {name}\n".encode() for name, text in files.items())
    assert list(unreleased_or_edited(files)) == []
    (problem,) = unreleased_or_edited({**files, "A.v1.avsc": json.dumps({"doc": "better"}).encode()})
    assert problem.startswith("A.v1.avsc was released and is not what it was")
    (problem,) = unreleased_or_edited({name: text for name, text in files.items() if name != "B.v1.avsc"})
    assert problem.startswith("B.v1.avsc was released and is gone")
    (problem,) = unreleased_or_edited({**files, "A.v2.avsc": b"{}"})
    assert problem == f"A.v2.avsc is not in SHA256SUMS, add the line: {sha256(b'{}').hexdigest()}  A.v2.avsc"
