"""The topics and their schemas, as they are committed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from eventlog.settings import Settings
from schemas import avro
from schemas.topics import CATALOGUE, Topic


@dataclass(frozen=True, slots=True)
class SchemaShown:
    """A schema; `versions` are their Avro documents, oldest first."""

    name: str
    meaning: str
    versions: Sequence[str]


@dataclass(frozen=True, slots=True)
class TopicShown:
    """A topic of the catalogue under its physical name."""

    name: str
    topic: Topic
    partitions: int
    schemas: Sequence[SchemaShown]


def topics(settings: Settings) -> list[TopicShown]:
    """Every topic of the catalogue."""
    return [
        TopicShown(
            settings.topic(one.name), one, one.partitions or settings.partitions, list(map(_schema, one.schemas))
        )
        for one in CATALOGUE
    ]


def _schema(name: str) -> SchemaShown:
    versions = avro.versions()[name]
    documents = [json.dumps(one, indent=1, ensure_ascii=False) for one in versions]
    return SchemaShown(name.removeprefix("public."), str(versions[-1].get("doc", "")), documents)
