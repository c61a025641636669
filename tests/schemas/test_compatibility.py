"""The committed schemas against each other: what a change breaks is said with file, field and rule."""

import copy
import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any, get_args

import pytest

from schemas import avro
from schemas.avro import Schema
from schemas.compatibility import (
    SUMS,
    check_committed,
    incompatibilities,
    incompatibilities_with,
    unreleased_or_edited,
)
from schemas.public_events import PublicEvent
from schemas.topics import CATALOGUE

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


@pytest.mark.parametrize("name", ["OrderPlaced", "public.OrderPlaced", "public.InventoryRejected"])
def test_a_new_version_of_any_event_of_the_log_or_a_public_one_is_held_to_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = edited(avro.latest(name), lambda fields: fields.append({"name": "gift", "type": "boolean"}))
    file, content = f"{name.replace('.', '/')}.v2.avsc", json.dumps(second).encode()
    files = {**avro.committed_files(), file: content}
    files[SUMS] += f"{sha256(content).hexdigest()}  {file}\n".encode()
    monkeypatch.setattr(avro, "committed_files", lambda: files)
    monkeypatch.setattr(avro, "versions", avro.versions.__wrapped__)
    assert check_committed() == [f"{file}: field gift has no default, so events of version 1 cannot be read"]


def test_every_schema_of_the_catalogue_is_among_the_committed_ones() -> None:
    names = {name for topic in CATALOGUE for name in topic.schemas}
    assert {name.removeprefix("public.") for name in names if name.startswith("public.")} == {
        event.__name__ for event in get_args(PublicEvent)
    }
    assert names | avro.PERSONAL == set(avro.versions())
    assert {avro.file_of(name, 1) for name in names} <= set(avro.committed_files())


def test_what_the_registry_has_is_named_with_its_number() -> None:
    newer = edited(avro.latest("OrderShipped"), lambda fields: fields[1].update(type="long"))
    problems = incompatibilities_with("OrderShipped.v2.avsc", avro.latest("OrderShipped"), [(3, newer)])
    assert list(problems) == [
        "OrderShipped.v2.avsc: field carrier has another type than in the registry's version 3, "
        "type_mismatch: reader type: string not compatible with writer type: long"
    ]


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
