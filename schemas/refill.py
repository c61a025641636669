"""A registry's schemas under their ids: taken down for a backup, and put into another registry again.

The values of the log name their schema by its id, so the ids must stay. The Confluent-compatible API gives no way to
say an id; Apicurio's import does, from a ZIP file in the form of its export.
"""

import io
import json
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from schemas.errors import BadInput, Explained
from schemas.registry import Registry
from schemas.topics import CATALOGUE

_WITHIN_S = 30.0
_POLL_S = 0.1
_EXPORT_VERSION = "3.0"  # also the system's: the registry tells by it which form the file has


class RegistryTaken(BadInput):
    """The registry has other schemas under ids that the log's values name, or these under others."""


class NotRefilled(Explained):
    """The registry took the schemas and does not show them."""


@dataclass(frozen=True, slots=True)
class SavedSchema:
    """One version of a subject, as the registry has it; `schema` is its text."""

    id: int
    subject: str
    version: int
    schema: str


def saved_schemas(registry_url: str, topic_prefix: str) -> list[SavedSchema]:
    """Every version of every subject of the catalogue's topics. Raises RegistryUnavailable."""
    topics = tuple(f"{topic_prefix}{topic.name}-" for topic in CATALOGUE)
    with Registry(registry_url) as registry:
        return [SavedSchema(*one) for one in registry.everything() if one[1].startswith(topics)]


def require_room(registry_url: str, schemas: Sequence[SavedSchema]) -> None:
    """Return when `schemas` are in the registry under their ids, or can be put there. Raises RegistryTaken."""
    ids = {_normal(one.schema): one.id for one in schemas}
    texts = {one.id: _normal(one.schema) for one in schemas}
    with Registry(registry_url) as registry:
        for schema_id, subject, _, schema in registry.everything():
            text = _normal(schema)
            if texts.get(schema_id, text) != text or ids.get(text, schema_id) != schema_id:
                raise RegistryTaken(
                    f"the registry at {registry_url} has schema {schema_id} ({subject}), which the log's values would "
                    "take for another: give the log a registry of its own, in which nothing is registered yet"
                )


def refill(registry_url: str, schemas: Sequence[SavedSchema]) -> None:
    """Put `schemas` into the registry under their ids, and return once it shows them. Safe to repeat.

    Raises NotRefilled, RegistryUnavailable.
    """
    with Registry(registry_url) as registry:
        registry.require_compatibility()
        known = {one[0] for one in registry.everything()}
        if new := [one for one in schemas if one.id not in known]:
            registry.take_export(_export(new))
            _wait_for(registry, new)
        # A text that is there gets its own id under another subject too; an import would leave it out.
        for one in schemas:
            if registry.registered(one.subject, schema := json.loads(one.schema)) != one.id:
                registry.register(one.subject, schema)
        _wait_for(registry, schemas)


def _wait_for(registry: Registry, schemas: Sequence[SavedSchema]) -> None:
    deadline = time.monotonic() + _WITHIN_S
    while any(registry.registered(one.subject, json.loads(one.schema)) != one.id for one in schemas):
        if time.monotonic() > deadline:
            raise NotRefilled("the schema registry does not show the schemas that it has taken, under their ids")
        time.sleep(_POLL_S)


def _normal(schema: str) -> str:
    return json.dumps(json.loads(schema), sort_keys=True)


def _export(schemas: Sequence[SavedSchema]) -> bytes:
    """`schemas` in the form of Apicurio Registry 3's export."""
    file, now = io.BytesIO(), int(time.time() * 1000)
    by_whom = {"owner": "", "createdOn": now, "modifiedBy": "", "modifiedOn": now}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, **content: Any) -> None:
            archive.writestr(f"{name}.json", json.dumps(content))

        add("manifest-1.Manifest", exportVersion=_EXPORT_VERSION, systemVersion=_EXPORT_VERSION, exportedOn=now)
        for schema_id, text in {one.id: one.schema for one in schemas}.items():
            digest = sha256(text.encode()).hexdigest()
            kind = {"artifactType": "AVRO", "contentType": "application/json"}
            add(f"content/{digest}.Content", contentId=schema_id, contentHash=digest, **kind)
            archive.writestr(f"content/{digest}.Content.data", text)
        subjects = dict.fromkeys(one.subject for one in schemas)
        for subject in subjects:
            add(f"{_folder(subject)}/MetaData.Artifact", artifactId=subject, artifactType="AVRO", **by_whom)
        for number, one in enumerate(schemas, start=1):
            version = {"version": str(one.version), "versionOrder": one.version, "state": "ENABLED"}
            name = f"{_folder(one.subject)}/versions/{one.version}.ArtifactVersion"
            add(name, artifactId=one.subject, globalId=number, contentId=one.id, **version, **by_whom)
        for subject in subjects:
            versions = [str(one.version) for one in schemas if one.subject == subject]
            branch = {"branchId": "latest", "systemDefined": True, "versions": versions}
            add(f"{_folder(subject)}/branches/latest.Branch", artifactId=subject, **branch, **by_whom)
    return file.getvalue()


def _folder(subject: str) -> str:
    return f"groups/default/artifacts/{subject}"
