"""What stands between the committed schemas themselves: no registry is asked, so continuous integration can refuse.

The rules are those of FULL_TRANSITIVE: every version of a record reads what every other has written. Besides, what
was released stays as it was, byte for byte, and a record without a schema id of its own has one version.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import combinations

from avro.compatibility import ReaderWriterCompatibilityChecker
from avro.schema import Field, RecordSchema, make_avsc_object

from schemas import avro
from schemas.avro import Schema

SUMS = "SHA256SUMS"


def check_committed() -> list[str]:
    """What is wrong with the committed schemas, a sentence each that names the file, the field and the rule."""
    problems = list(unreleased_or_edited(avro.committed_files()))
    for name, versions in avro.versions().items():
        problems += incompatibilities(name, versions)
    return problems


def unreleased_or_edited(files: Mapping[str, bytes]) -> Iterator[str]:
    """What of `files`, {name: content} of the folder of schemas, is not as its list of sums says."""
    listed: dict[str, str] = {}
    for line in files.get(SUMS, b"").decode().splitlines():
        digest, name = line.split()
        listed[name] = digest
    schemas = {name: sha256(content).hexdigest() for name, content in files.items() if name.endswith(".avsc")}
    for name in sorted(schemas.keys() | listed.keys()):
        if name not in schemas:
            yield f"{name} was released and is gone: events in the log are written with it; put it back"
        elif name not in listed:
            yield f"{name} is not in {SUMS}, add the line: {schemas[name]}  {name}"
        elif schemas[name] != listed[name]:
            yield f"{name} was released and is not what it was: put it back, and make the next version of it"


def incompatibilities(name: str, versions: Sequence[Schema]) -> Iterator[str]:
    """Why the `versions` of a record, oldest first, cannot all read each other."""
    if name in avro.PERSONAL and len(versions) > 1:
        yield f"{name}.v2.avsc: {name} is written without a schema id, so readers could not tell its versions apart"
        return
    numbered = enumerate((_record(schema) for schema in versions), start=1)
    for (older, old), (newer, new) in combinations(numbered, 2):
        yield from _between(avro.file_of(name, newer), new, f"version {older}", old)


def incompatibilities_with(file: str, schema: Schema, registered: Iterable[tuple[int, Schema]]) -> Iterator[str]:
    """Why the `schema` of a file and the versions that the registry has, by number, cannot read each other."""
    for version, other in registered:
        yield from _between(file, _record(schema), f"the registry's version {version}", _record(other))


def _between(file: str, new: RecordSchema, older: str, old: RecordSchema) -> Iterator[str]:
    if new.fullname != old.fullname:
        yield f"{file}: the record is {new.fullname}, in {older} it is {old.fullname}; a name stays"
    for field in new.fields:
        before = old.fields_dict.get(field.name)
        if before is None and not field.has_default:
            yield f"{file}: field {field.name} has no default, so events of {older} cannot be read"
        elif before is not None and (why := _mismatch(field, before) or _mismatch(before, field)):
            yield f"{file}: field {field.name} has another type than in {older}, {why}"
    for field in old.fields:
        if field.name not in new.fields_dict and not field.has_default:
            yield (
                f"{file}: field {field.name} is gone, and has no default in {older}, "
                f"so readers of {older} cannot read its events"
            )


def _mismatch(reader: Field, writer: Field) -> str | None:
    """Why one field cannot be read as the other, in the words of Avro's own checker; None when it can."""
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    found = checker.get_compatibility(reader.type, writer.type)
    if not found.incompatibilities:
        return None
    return f"{', '.join(one.value for one in found.incompatibilities)}: {'; '.join(sorted(found.messages))}"


def _record(schema: Schema) -> RecordSchema:
    parsed = make_avsc_object(schema)
    assert isinstance(parsed, RecordSchema)
    return parsed
