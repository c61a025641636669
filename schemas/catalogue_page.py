"""The catalogue for people: what a topic's row says, and docs/reference/topics.md."""

from collections.abc import Iterable, Sequence
from typing import Any

from schemas import avro
from schemas.headers import NAMES, headers_of
from schemas.topics import CATALOGUE, Topic

MAKES_PAGE = "orderlog topics list --markdown > docs/reference/topics.md"

_UNITS = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second"))
_INTRODUCTION = f"""# Topics

Every topic of orderlog: whose it is, what it carries, how long it is kept. Made from the catalogue,
`schemas/topics.py`, by `{MAKES_PAGE}`; a test holds it to that.

`orderlog topics list` shows the same for the settings in force, `orderlog topics plan` what a cluster lacks of it,
`orderlog topics asyncapi` gives it to tools. All names get the prefix ORDERLOG_TOPIC_PREFIX. Why it is so:
[ADR 0024](../adr/0024-topic-catalogue.md).
"""
_HEADERS_OF = {"log": "the log", "public": "public events", "dead-letters": "dead letters, added to the record's own"}
HEADINGS = ("topic", "owner", "pattern", "key", "schema", "kept", "partitions", "readers")


def in_words(milliseconds: int) -> str:
    """A duration as a person says it, such as `30 days`; a negative one is `for ever`."""
    if milliseconds < 0:
        return "for ever"
    for unit, name in _UNITS:
        if milliseconds >= unit and milliseconds % unit == 0:
            count = milliseconds // unit
            return f"1 {name}" if count == 1 else f"{count} {name}s"
    return f"{milliseconds} ms"


def kept(topic: Topic) -> str:
    """How long its records are kept, in words."""
    if topic.config["cleanup.policy"] == "compact":
        return "the last of each key"
    return in_words(int(topic.config["retention.ms"]))


def cells(topic: Topic, partitions: int | None = None) -> tuple[str, ...]:
    """The topic's values under `HEADINGS`; `partitions` is what the settings say, None when they are not known."""
    number = topic.partitions or partitions
    return (
        topic.name,
        topic.owner,
        topic.pattern.value,
        topic.key,
        _schemas(topic),
        kept(topic),
        str(number) if number else "ORDERLOG_PARTITIONS",
        ", ".join(topic.readers) or "-",
    )


def markdown() -> str:
    """The page."""
    told = set[str]()
    parts = [
        _INTRODUCTION,
        _table(HEADINGS, (cells(topic) for topic in CATALOGUE)),
        *(_section(topic, told) for topic in CATALOGUE),
        "## Headers\n",
        *map(_headers, NAMES),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _schemas(topic: Topic) -> str:
    names = [name.removeprefix("public.") for name in topic.schemas]
    return names[0] if len(names) == 1 else f"{len(names)} event types" if names else "none"


def _section(topic: Topic, told: set[str]) -> str:
    """What the topic is for, and its schemas, but for those that were `told` of before."""
    kind = headers_of(topic)
    headers = f" Headers: those of {_HEADERS_OF[kind]}." if kind else ""
    new = [name for name in topic.schemas if name not in told]
    told.update(new)
    return "\n".join([f"## {topic.name}\n", f"{topic.reason}{headers}\n", *map(_schema, new)])


def _schema(name: str) -> str:
    """The schema's meaning and fields; those of records inside it follow with a dotted name."""
    schema, number = avro.latest(name), len(avro.versions()[name])
    heading = f"**{schema['name']}**, version {number}: {schema['doc']}\n"
    return "\n".join([heading, _table(("field", "type", "meaning"), _fields(schema, ""))])


def _fields(schema: Any, before: str) -> Iterable[tuple[str, str, str]]:
    for field in schema["fields"]:
        yield before + field["name"], _type(field["type"]), field.get("doc", "")
        inner = field["type"]
        while isinstance(inner, dict) and inner["type"] == "array":
            inner = inner["items"]
        if isinstance(inner, dict) and inner["type"] == "record":
            yield from _fields(inner, f"{before}{field['name']}.")


def _type(of: Any) -> str:
    if isinstance(of, list):
        return " or ".join(map(_type, of))
    if not isinstance(of, dict):
        return str(of)
    if of["type"] == "array":
        return f"array of {_type(of['items'])}"
    return str(of.get("logicalType") or of.get("name") or of["type"])


def _headers(kind: str) -> str:
    rows = ((header.name, "yes" if header.required else "no", header.meaning) for header in NAMES[kind])
    return f"Of {_HEADERS_OF[kind]}:\n\n" + _table(("header", "always", "meaning"), rows)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
